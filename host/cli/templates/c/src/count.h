#ifndef COUNT_H
#define COUNT_H

#include <stddef.h>
#include <stdint.h>

/* What was counted. */
typedef struct {
    uint32_t lines;
    uint32_t words;
    uint32_t bytes;
} counts;

/* Counts the lines, words and bytes of a text. */
counts count_text(const uint8_t *text, size_t bytes);

#endif
