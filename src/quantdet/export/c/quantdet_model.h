/* Types of detectors exported by `quantdet export --format c-array`. The same for every model. */
#ifndef QUANTDET_MODEL_H
#define QUANTDET_MODEL_H

#include <stddef.h>
#include <stdint.h>

#define QUANTDET_MODEL_VERSION 2 /* of this file; what goes with another does not compile */

#if defined(_MSC_VER)
#define QUANTDET_ALIGNED __declspec(align(16))
#else
#define QUANTDET_ALIGNED __attribute__((aligned(16)))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { QUANTDET_UINT8, QUANTDET_INT8, QUANTDET_INT16, QUANTDET_FLOAT32 } quantdet_type;

/* How outputs become boxes; docs/contract.md of quantdet describes the kinds. */
typedef enum {
  QUANTDET_SSD,
  QUANTDET_POST_PROCESSED,
  QUANTDET_SINGLE_BOX,
  QUANTDET_GRID
} quantdet_kind;

/* An input or output: real = (q - zero_point) * scale. */
typedef struct {
  const char *name; /* in the signature of the file */
  int32_t index;    /* position in the file, for runtimes that know no names; -1: not there */
  quantdet_type type;
  int32_t elements;
  float scale; /* 0 for float32 */
  int32_t zero_point;
} quantdet_tensor;

/* Anchors of one map: for each row, column and shape, centre ((i + 0.5) / rows, (j + 0.5) / cols). */
typedef struct {
  int32_t rows, cols, shapes;
  const float (*shapes_hw)[2]; /* height and width as fractions of the picture */
} quantdet_anchor_map;

typedef struct {
  const uint8_t *data; /* the .tflite, at a multiple of 16 bytes */
  size_t size;
  const char *sha256; /* of the .tflite, hexadecimal */

  quantdet_tensor input;
  int32_t input_height, input_width;
  float pixel_offset, pixel_scale; /* a pixel p means (p - pixel_offset) / pixel_scale, RGB */

  quantdet_tensor boxes, scores, classes, count;
  quantdet_kind kind;
  int32_t label_count;
  const char *const *labels; /* UTF-8, without background */
  int32_t background;        /* column of scores that is background; -1: none */
  const float *thresholds;   /* lowest score shown of each label */
  float min_score;           /* what is below is never decoded */
  float nms_iou;
  int32_t max_detections;
  int32_t anchor_count, map_count;
  const quantdet_anchor_map *maps;
  float box_coder[4]; /* factors of y, x, height, width */
} quantdet_model;

#ifdef __cplusplus
}
#endif

#endif
