#include "count.h"

#include <stdbool.h>

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

counts count_text(const uint8_t *text, size_t bytes) {
    counts found = {0, 0, (uint32_t)bytes};
    bool in_word = false;
    for (size_t at = 0; at < bytes; at++) {
        if (!is_space(text[at]) && !in_word) found.words++;
        in_word = !is_space(text[at]);
        if (text[at] == '\n' || at + 1 == bytes) found.lines++;
    }
    return found;
}
