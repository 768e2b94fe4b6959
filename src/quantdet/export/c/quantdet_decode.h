/* Boxes from the raw outputs of an SSD exported by `quantdet export --format c-array`.
 *
 * C99, no allocation, no dependency but libm. The answer is that of quantdet's own decoder "ssd":
 * sigmoid, anchors, clipping to the picture, class-wise suppression. */
#ifndef QUANTDET_DECODE_H
#define QUANTDET_DECODE_H

#include "quantdet_model.h"

#if QUANTDET_MODEL_VERSION != 2
#error "quantdet_model.h is of another version of quantdet: export the model again"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Corners as fractions of the picture, 0 to 1; label counts from 0. */
typedef struct {
  float x1, y1, x2, y2;
  float score;
  int32_t label;
} quantdet_box;

/* One anchor and class that may become a box. */
typedef struct {
  quantdet_box box;
  int32_t order; /* anchor * columns + column: decides between equal scores */
} quantdet_candidate;

/* Decode one picture.
 *
 * boxes, scores   raw outputs, of the types that the model names
 * candidates      work space; with too little of it the worst are left out. quantdet itself takes 2000
 * found           room for model->max_detections boxes; best first
 *
 * Boxes below model->thresholds[label] are found too, down to model->min_score.
 * Returns how many were found; -1: not an SSD, or an output of a type that is not supported. */
int32_t quantdet_decode_ssd(const quantdet_model *model, const void *boxes, const void *scores,
                            quantdet_candidate *candidates, int32_t candidate_room,
                            quantdet_box *found);

#ifdef __cplusplus
}
#endif

#endif
