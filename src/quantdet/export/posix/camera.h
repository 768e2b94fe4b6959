/* Where pictures come from. Write it anew for your camera. */
#ifndef QUANTDET_CAMERA_H
#define QUANTDET_CAMERA_H

#include <stddef.h>
#include <stdint.h>

/* Put the next picture into `pixels`: R, G, B of each pixel, `size` bytes in all.
 * Returns 1; 0: there is none any more; -1: it could not be taken. */
int camera_take(uint8_t *pixels, size_t size);

#endif
