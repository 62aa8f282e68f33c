/* The tool as the component model sees it: gen/ is written by wit-bindgen from wit/tool.wit. */
#include "../gen/component.h"
#include "count.h"

void exports_local_tool_text_count(component_string_t *text, exports_local_tool_text_counts_t *ret) {
    counts found = count_text(text->ptr, text->len);
    ret->lines = found.lines;
    ret->words = found.words;
    ret->bytes = found.bytes;
    component_string_free(text);
}

/* What the host tells models and people, and the most that this component could ever be granted. */
__asm__(".section \".custom_section.harness:manifest\",\"\",@\n"
        ".ascii \"{\\\"capabilities\\\": [],"
        " \\\"tools\\\": {\\\"local:tool/text#count\\\": {"
        "\\\"name\\\": \\\"{{snake}}\\\","
        "\\\"description\\\": \\\"Counts the lines, words and bytes of a text.\\\","
        "\\\"category\\\": \\\"read\\\","
        "\\\"parameters\\\": {\\\"text\\\": \\\"The text.\\\"}}}}\"\n"
        ".text\n");
