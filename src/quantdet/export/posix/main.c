/* Pictures from files, boxes to standard output: camera and display of a computer.
 *
 * A file holds R, G, B of each pixel of a picture of the model's size, and nothing else. For each box a
 * line: file, label, score, and the corners x1 y1 x2 y2 as fractions of the picture. */
#include <stdio.h>
#include <stdlib.h>

#include "camera.h"
#include "detector.h"

static char **files;

int camera_take(uint8_t *pixels, size_t size) {
  FILE *file;
  int whole;
  if (*++files == NULL) return 0;
  file = fopen(*files, "rb");
  if (file == NULL) return -1;
  whole = fread(pixels, 1, size, file) == size && fgetc(file) == EOF;
  fclose(file);
  return whole ? 1 : -1;
}

static void show(const quantdet_box *box) {
  if (box->score < detector_model->thresholds[box->label]) return;
  printf("%s\t%s\t%.6f\t%.6f\t%.6f\t%.6f\t%.6f\n", *files, detector_model->labels[box->label],
         box->score, box->x1, box->y1, box->x2, box->y2);
}

static int fail(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  return 1;
}

int main(int argc, char **argv) {
  const size_t size = (size_t)detector_model->input.elements;
  uint8_t *pixels = malloc(size);
  quantdet_box *boxes = calloc((size_t)detector_model->max_detections, sizeof *boxes);
  int taken;
  if (argc < 2) return fail("give files of RGB");
  if (pixels == NULL || boxes == NULL) return fail("no memory");
  if (detector_start() != 0) return fail("the model could not be loaded");
  fprintf(stderr, "arena: %lu bytes in use\n", (unsigned long)detector_arena_used());
  files = argv;
  while ((taken = camera_take(pixels, size)) == 1) {
    const int32_t count = detector_find(pixels, boxes);
    if (count < 0) return fail("the model could not be run");
    for (int32_t i = 0; i < count; i++) show(&boxes[i]);
  }
  if (taken < 0) {
    fprintf(stderr, "error: %s: wanted are %lu bytes of RGB\n", *files, (unsigned long)size);
    return 1;
  }
  free(boxes);
  free(pixels);
  return 0;
}
