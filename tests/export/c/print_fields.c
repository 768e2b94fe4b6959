/* Prints a model's fields as lines "name value", for a test to compare. */
#include <stdio.h>

#include MODEL_HEADER

static void tensor(const char *part, const quantdet_tensor *t) {
  printf("%s %s %ld %d %ld %.9g %ld\n", part, t->name, (long)t->index, (int)t->type,
         (long)t->elements, t->scale, (long)t->zero_point);
}

int main(void) {
  const quantdet_model *m = &MODEL;
  unsigned long sum = 0;
  for (size_t i = 0; i < m->size; i++) sum = (sum * 31u + m->data[i]) & 0xffffffffu;
  printf("size %lu\nsum %lu\nsha256 %s\n", (unsigned long)m->size, sum, m->sha256);
  printf("aligned %d\n", (int)((uintptr_t)m->data % 16 == 0));
  printf("first %.4s\n", (const char *)m->data + 4);
  printf("input_size %ld %ld\n", (long)m->input_height, (long)m->input_width);
  printf("pixels %.9g %.9g\n", m->pixel_offset, m->pixel_scale);
  tensor("input", &m->input);
  tensor("boxes", &m->boxes);
  tensor("scores", &m->scores);
  printf("kind %d\nbackground %ld\n", (int)m->kind, (long)m->background);
  for (int32_t i = 0; i < m->label_count; i++)
    printf("label %s %.9g\n", m->labels[i], m->thresholds[i]);
  printf("limits %.9g %.9g %ld\n", m->min_score, m->nms_iou, (long)m->max_detections);
  printf("coder %.9g %.9g %.9g %.9g\n", m->box_coder[0], m->box_coder[1], m->box_coder[2],
         m->box_coder[3]);
  for (int32_t i = 0; i < m->map_count; i++)
    for (int32_t j = 0; j < m->maps[i].shapes; j++)
      printf("shape %ld %ld %.9g %.9g\n", (long)m->maps[i].rows, (long)m->maps[i].cols,
             m->maps[i].shapes_hw[j][0], m->maps[i].shapes_hw[j][1]);
  printf("anchors %ld\n", (long)m->anchor_count);
  return 0;
}
