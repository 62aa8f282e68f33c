#include "../src/count.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static counts count(const char *text) { return count_text((const uint8_t *)text, strlen(text)); }

int main(void) {
    counts found = count("one two\nthree");
    assert(found.lines == 2 && found.words == 3 && found.bytes == 13);
    found = count("");
    assert(found.lines == 0 && found.words == 0 && found.bytes == 0);
    found = count(" a\n");
    assert(found.lines == 1 && found.words == 1 && found.bytes == 3);
    puts("ok");
    return 0;
}
