#include "quantdet_decode.h"

#include <math.h>
#include <stdbool.h>

static bool supported(const quantdet_tensor *tensor) {
  return tensor->type != QUANTDET_INT16;
}

static float real_value(const quantdet_tensor *tensor, const void *data, int32_t index) {
  int32_t q;
  if (tensor->type == QUANTDET_FLOAT32) return ((const float *)data)[index];
  q = tensor->type == QUANTDET_UINT8 ? ((const uint8_t *)data)[index]
                                     : ((const int8_t *)data)[index];
  return (float)(q - tensor->zero_point) * tensor->scale;
}

static float sigmoid(float logit) {
  return 1.0f / (1.0f + expf(-logit));
}

static float unit(float value) {
  return value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
}

/* Better score first; of equal ones the earlier anchor, then the earlier class. */
static bool better(const quantdet_candidate *a, const quantdet_candidate *b) {
  if (a->box.score != b->box.score) return a->box.score > b->box.score;
  return a->order < b->order;
}

/* The candidates are a heap with the worst at the top. */
static void sink(quantdet_candidate *heap, int32_t count, int32_t at) {
  quantdet_candidate moved = heap[at];
  for (;;) {
    int32_t child = 2 * at + 1;
    if (child >= count) break;
    if (child + 1 < count && better(&heap[child], &heap[child + 1])) child++;
    if (!better(&moved, &heap[child])) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = moved;
}

static void rise(quantdet_candidate *heap, int32_t at) {
  quantdet_candidate moved = heap[at];
  while (at > 0 && better(&heap[(at - 1) / 2], &moved)) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = moved;
}

static void keep_best(quantdet_candidate *heap, int32_t *count, int32_t room,
                      const quantdet_candidate *candidate) {
  if (*count < room) {
    heap[*count] = *candidate;
    rise(heap, (*count)++);
  } else if (room > 0 && better(candidate, &heap[0])) {
    heap[0] = *candidate;
    sink(heap, *count, 0);
  }
}

static void sort_best_first(quantdet_candidate *heap, int32_t count) {
  while (count > 1) {
    quantdet_candidate worst = heap[0];
    heap[0] = heap[--count];
    heap[count] = worst;
    sink(heap, count, 0);
  }
}

/* Collect the classes of one anchor that reach min_score. */
static void add_scores(const quantdet_model *model, const void *scores, int32_t anchor,
                       quantdet_candidate *heap, int32_t *count, int32_t room) {
  int32_t columns = model->label_count + (model->background >= 0);
  for (int32_t column = 0; column < columns; column++) {
    quantdet_candidate candidate;
    if (column == model->background) continue;
    candidate.order = anchor * columns + column;
    candidate.box.score = sigmoid(real_value(&model->scores, scores, candidate.order));
    if (!(candidate.box.score >= model->min_score)) continue;
    candidate.box.label = column - (model->background >= 0 && column > model->background);
    keep_best(heap, count, room, &candidate);
  }
}

/* Return centre y, centre x, height and width of an anchor. */
static void find_anchor(const quantdet_model *model, int32_t index, float anchor[4]) {
  const quantdet_anchor_map *map = model->maps;
  int32_t cell;
  while (index >= map->rows * map->cols * map->shapes) {
    index -= map->rows * map->cols * map->shapes;
    map++;
  }
  cell = index / map->shapes;
  anchor[0] = ((float)(cell / map->cols) + 0.5f) / (float)map->rows;
  anchor[1] = ((float)(cell % map->cols) + 0.5f) / (float)map->cols;
  anchor[2] = map->shapes_hw[index % map->shapes][0];
  anchor[3] = map->shapes_hw[index % map->shapes][1];
}

static void decode_box(const quantdet_model *model, const void *boxes, int32_t index,
                       quantdet_box *box) {
  float anchor[4], t[4], y, x, half_h, half_w;
  find_anchor(model, index, anchor);
  for (int i = 0; i < 4; i++)
    t[i] = real_value(&model->boxes, boxes, 4 * index + i) / model->box_coder[i];
  y = anchor[0] + t[0] * anchor[2];
  x = anchor[1] + t[1] * anchor[3];
  half_h = 0.5f * anchor[2] * expf(t[2]);
  half_w = 0.5f * anchor[3] * expf(t[3]);
  box->y1 = unit(y - half_h);
  box->x1 = unit(x - half_w);
  box->y2 = unit(y + half_h);
  box->x2 = unit(x + half_w);
}

static float area(const quantdet_box *box) {
  return (box->x2 - box->x1) * (box->y2 - box->y1);
}

static bool alike(const quantdet_box *a, const quantdet_box *b, float iou) {
  float width = fminf(a->x2, b->x2) - fmaxf(a->x1, b->x1);
  float height = fminf(a->y2, b->y2) - fmaxf(a->y1, b->y1);
  float inside = fmaxf(width, 0.0f) * fmaxf(height, 0.0f);
  return a->label == b->label && inside > iou * (area(a) + area(b) - inside);
}

int32_t quantdet_decode_ssd(const quantdet_model *model, const void *boxes, const void *scores,
                            quantdet_candidate *candidates, int32_t candidate_room,
                            quantdet_box *found) {
  int32_t columns = model->label_count + (model->background >= 0);
  int32_t count = 0, kept = 0;
  if (model->kind != QUANTDET_SSD || !supported(&model->boxes) || !supported(&model->scores))
    return -1;
  for (int32_t anchor = 0; anchor < model->anchor_count; anchor++)
    add_scores(model, scores, anchor, candidates, &count, candidate_room);
  sort_best_first(candidates, count);
  for (int32_t i = 0; i < count && kept < model->max_detections; i++) {
    quantdet_box *box = &candidates[i].box;
    bool free = true;
    decode_box(model, boxes, candidates[i].order / columns, box);
    /* What is not a number has no area, either. */
    if (!(box->x2 > box->x1 && box->y2 > box->y1)) continue;
    for (int32_t j = 0; j < kept && free; j++) free = !alike(box, &found[j], model->nms_iou);
    if (free) found[kept++] = *box;
  }
  return kept;
}
