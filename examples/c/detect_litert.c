/* Find objects with LiteRT's C API and a model that is part of the program.
 *
 *   quantdet export runs/voc --format c-array
 *   gcc -std=c99 -DMODEL_HEADER='"model.h"' -DMODEL=model_model -I runs/voc/export \
 *     examples/c/detect_litert.c examples/c/quantdet_decode.c runs/voc/export/model.c \
 *     libLiteRt.so -lm -o detect
 *   ./detect picture.rgb
 *
 * picture.rgb has the bytes R, G, B of each pixel, of the model's input size. Prints label, score
 * and corners as fractions of the picture. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include MODEL_HEADER
#include "litert_c.h"
#include "quantdet_decode.h"

#define MOST_CANDIDATES 2000
#define MOST_OUTPUTS 4

static void fail(const char *why) {
  fprintf(stderr, "error: %s\n", why);
  exit(1);
}

static void check(LiteRtStatus status, const char *what) {
  if (status == 0) return;
  fprintf(stderr, "error: LiteRT fails to %s (status %d)\n", what, status);
  exit(1);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (memory == NULL) fail("out of memory");
  return memory;
}

/* A model as it runs, with its tensors; outputs in the order of the signature. */
typedef struct {
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  LiteRtTensorBuffer input, outputs[MOST_OUTPUTS];
  LiteRtParamIndex output_count;
  LiteRtSignature signature;
} runner;

static LiteRtTensorBuffer make_buffer(runner *r, LiteRtTensor tensor,
                                      LiteRtTensorBufferRequirements requirements) {
  LiteRtRankedTensorType type;
  LiteRtTensorBuffer buffer;
  check(LiteRtGetRankedTensorType(tensor, &type), "read a tensor's type");
  check(LiteRtCreateManagedTensorBufferFromRequirements(r->environment, &type, requirements,
                                                        &buffer),
        "make a buffer");
  return buffer;
}

static void load(runner *r, const quantdet_model *model) {
  LiteRtTensor tensor;
  LiteRtTensorBufferRequirements needs;
  check(LiteRtCreateEnvironment(0, NULL, &r->environment), "start");
  check(LiteRtCreateModelFromBuffer(r->environment, model->data, model->size, &r->model),
        "read the model");
  check(LiteRtCreateOptions(&r->options), "make options");
  check(LiteRtSetOptionsHardwareAccelerators(r->options, kLiteRtHwAcceleratorCpu), "take the CPU");
  check(LiteRtCreateCompiledModel(r->environment, r->model, r->options, &r->compiled),
        "prepare the model");
  check(LiteRtGetModelSignature(r->model, 0, &r->signature), "find the signature");
  check(LiteRtGetNumSignatureOutputs(r->signature, &r->output_count), "count outputs");
  if (r->output_count > MOST_OUTPUTS) fail("the model has too many outputs");

  check(LiteRtGetSignatureInputTensorByIndex(r->signature, 0, &tensor), "find the input");
  check(LiteRtGetCompiledModelInputBufferRequirements(r->compiled, 0, 0, &needs), "size the input");
  r->input = make_buffer(r, tensor, needs);
  for (LiteRtParamIndex i = 0; i < r->output_count; i++) {
    check(LiteRtGetSignatureOutputTensorByIndex(r->signature, i, &tensor), "find an output");
    check(LiteRtGetCompiledModelOutputBufferRequirements(r->compiled, 0, i, &needs),
          "size an output");
    r->outputs[i] = make_buffer(r, tensor, needs);
  }
}

static void run(runner *r, const uint8_t *pixels, size_t size) {
  void *address;
  check(LiteRtLockTensorBuffer(r->input, &address, kLiteRtTensorBufferLockModeWrite),
        "open the input");
  memcpy(address, pixels, size);
  check(LiteRtUnlockTensorBuffer(r->input), "close the input");
  check(LiteRtRunCompiledModel(r->compiled, 0, 1, &r->input, r->output_count, r->outputs), "run");
}

/* Return the output of a name; by position it would be the converter's choice. */
static LiteRtTensorBuffer find_output(const runner *r, const char *wanted) {
  for (LiteRtParamIndex i = 0; i < r->output_count; i++) {
    const char *name;
    check(LiteRtGetSignatureOutputName(r->signature, i, &name), "name an output");
    if (strcmp(name, wanted) == 0) return r->outputs[i];
  }
  fail("the model lacks an output of that name");
  return NULL;
}

static const void *open_output(const runner *r, const char *name) {
  void *address;
  check(LiteRtLockTensorBuffer(find_output(r, name), &address, kLiteRtTensorBufferLockModeRead),
        "open an output");
  return address;
}

static void release(runner *r) {
  LiteRtDestroyTensorBuffer(r->input);
  for (LiteRtParamIndex i = 0; i < r->output_count; i++) LiteRtDestroyTensorBuffer(r->outputs[i]);
  LiteRtDestroyCompiledModel(r->compiled);
  LiteRtDestroyOptions(r->options);
  LiteRtDestroyModel(r->model);
  LiteRtDestroyEnvironment(r->environment);
}

static void show(const runner *r, const quantdet_model *model) {
  quantdet_candidate *candidates = allocate(MOST_CANDIDATES, sizeof *candidates);
  quantdet_box *boxes = allocate((size_t)model->max_detections, sizeof *boxes);
  const void *raw_boxes = open_output(r, model->boxes.name);
  const void *raw_scores = open_output(r, model->scores.name);
  int32_t count =
      quantdet_decode_ssd(model, raw_boxes, raw_scores, candidates, MOST_CANDIDATES, boxes);
  if (count < 0) fail("this example knows SSD models with 8 bit or float outputs");
  for (int32_t i = 0; i < count; i++) {
    const quantdet_box *box = &boxes[i];
    if (box->score < model->thresholds[box->label]) continue;
    printf("%s %.6f %.6f %.6f %.6f %.6f\n", model->labels[box->label], box->score, box->x1,
           box->y1, box->x2, box->y2);
  }
  check(LiteRtUnlockTensorBuffer(find_output(r, model->boxes.name)), "close an output");
  check(LiteRtUnlockTensorBuffer(find_output(r, model->scores.name)), "close an output");
  free(candidates);
  free(boxes);
}

/* Read all pixels; for a uint8 model of quantdet they are the input as they are. */
static uint8_t *read_pixels(const char *path, size_t size) {
  uint8_t *pixels = allocate(size, 1);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(pixels, 1, size, file) != size || fgetc(file) != EOF) {
    fprintf(stderr, "error: %s: wanted are %lu bytes of RGB\n", path, (unsigned long)size);
    exit(1);
  }
  fclose(file);
  return pixels;
}

int main(int argc, char **argv) {
  const quantdet_model *model = &MODEL;
  runner r;
  uint8_t *pixels;
  if (argc != 2 || model->input.type != QUANTDET_UINT8) {
    fprintf(stderr, "usage: %s PICTURE.rgb, with a uint8 model\n", argv[0]);
    return 2;
  }
  pixels = read_pixels(argv[1], (size_t)model->input.elements);
  load(&r, model);
  run(&r, pixels, (size_t)model->input.elements);
  show(&r, model);
  release(&r);
  free(pixels);
  return 0;
}
