#pragma once

// toml++ 3 as the whole project must include it: by its header alone (the packaged library throws), without
// exceptions, and without its asserts. The asserts must go because the parser checks bytes from
// outside with them: "[=" would abort the program, where without the assert it is reported as an error. All
// files of one program must agree, since the parser's functions are inline.
#define TOML_EXCEPTIONS 0
#define TOML_ASSERT(condition) static_assert(true)
#include <toml++/toml.h>
