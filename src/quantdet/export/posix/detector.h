/* The detector of this folder: pixels in, boxes out. */
#ifndef QUANTDET_DETECTOR_H
#define QUANTDET_DETECTOR_H

#include "quantdet_decode.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The model, with its labels and thresholds. */
extern const quantdet_model *const detector_model;

/* Load the model into the arena; once. Returns 0; -1: operators or memory are missing. */
int detector_start(void);

/* Bytes of the arena that are in use after detector_start. */
size_t detector_arena_used(void);

/* Find objects in one picture.
 *
 * pixels  R, G, B of each pixel, of the model's height and width
 * found   room for detector_model->max_detections boxes; best first
 *
 * Boxes below detector_model->thresholds[label] are found too.
 * Returns how many were found; -1: the model could not be run. */
int32_t detector_find(const uint8_t *pixels, quantdet_box *found);

#ifdef __cplusplus
}
#endif

#endif
