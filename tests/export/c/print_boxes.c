/* Decodes raw outputs: print_boxes BOXES SCORES [ROOM] prints label, score and corners. */
#include <stdio.h>
#include <stdlib.h>

#include MODEL_HEADER
#include "quantdet_decode.h"

static void *read_all(const char *path, size_t size) {
  void *content = malloc(size);
  FILE *file = fopen(path, "rb");
  if (content == NULL || file == NULL || fread(content, 1, size, file) != size) exit(1);
  fclose(file);
  return content;
}

static size_t bytes(const quantdet_tensor *tensor) {
  return (size_t)tensor->elements * (tensor->type == QUANTDET_FLOAT32 ? 4 : 1);
}

int main(int argc, char **argv) {
  static quantdet_candidate candidates[2000];
  static quantdet_box found[100];
  const quantdet_model *model = &MODEL;
  void *boxes = read_all(argv[1], bytes(&model->boxes));
  void *scores = read_all(argv[2], bytes(&model->scores));
  int32_t room = argc > 3 ? atoi(argv[3]) : 2000;
  int32_t count = quantdet_decode_ssd(model, boxes, scores, candidates, room, found);
  for (int32_t i = 0; i < count; i++)
    printf("%ld %.9g %.9g %.9g %.9g %.9g\n", (long)found[i].label, found[i].score, found[i].x1,
           found[i].y1, found[i].x2, found[i].y2);
  free(boxes);
  free(scores);
  return count < 0 ? 3 : 0;
}
