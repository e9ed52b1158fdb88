# What our own code is compiled with, and one function per kind of target.
#
#   fleetune_library(NAME SOURCES a.cc ... [DEPS public ...] [PRIVATE_DEPS ...])
#   fleetune_program(NAME SOURCES main.cc ... DEPS ...)
#   fleetune_test(NAME SOURCES a_test.cc ... DEPS ... [ENVIRONMENT A=b ...])
#                                                one executable a folder, which is its label: ctest -L client/app
#   fleetune_fuzz_target(NAME SOURCE x_fuzz.cc CORPUS dir DEPS ...)
#
# A library or program of folder a/b is named a_b (target fleetune_a_b) or by its program's name.

add_library(fleetune_options INTERFACE)
target_include_directories(fleetune_options INTERFACE "${CMAKE_SOURCE_DIR}")
target_compile_options(fleetune_options INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
  # Other compilers have warnings of their own. g++ 12 warns falsely of std::string's operator+ at -O3 (GCC bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Werror;-Wno-restrict>
  # x86 and ARM must compute the same bits: see docs/formats/adapter_update.md.
  -ffp-contract=off)

# Of tests beside fleetune_options.
add_library(fleetune_test_options INTERFACE)
target_compile_options(fleetune_test_options INTERFACE
  # g++ 12 warns falsely of std::string and std::vector with constants, which tests are full of (GCC bugs 105329, 105762).
  -Wno-array-bounds -Wno-stringop-overflow)
if(CMAKE_CXX_FLAGS MATCHES "sanitize=[a-z,]*undefined")
  # Googletest's templates, checked and optimized, were most of a sanitizer build. What they call, the code under test, keeps all checks.
  target_compile_options(fleetune_test_options INTERFACE -O0 -fno-sanitize=null,alignment,vptr,object-size)
endif()

function(fleetune_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;PRIVATE_DEPS")
  if(arg_SOURCES)
    add_library(fleetune_${name} STATIC ${arg_SOURCES})
    target_link_libraries(fleetune_${name}
      PUBLIC ${arg_DEPS} PRIVATE fleetune_options ${arg_PRIVATE_DEPS})
    target_include_directories(fleetune_${name} PUBLIC "${CMAKE_SOURCE_DIR}")
  else()
    add_library(fleetune_${name} INTERFACE)
    target_link_libraries(fleetune_${name} INTERFACE ${arg_DEPS})
    target_include_directories(fleetune_${name} INTERFACE "${CMAKE_SOURCE_DIR}")
  endif()
endfunction()

function(fleetune_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE fleetune_options ${arg_DEPS})
endfunction()

function(fleetune_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS;ENVIRONMENT")
  if(NOT FLEETUNE_TESTS)
    return()
  endif()
  include(GoogleTest)
  add_executable(${name} ${arg_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_precompile_headers(${name} REUSE_FROM fleetune_test_headers)
  target_compile_definitions(${name} PRIVATE
    FLEETUNE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    FLEETUNE_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
    FLEETUNE_TEST_DATA="${FLEETUNE_TEST_DATA}")
  target_link_libraries(${name} PRIVATE
    fleetune_options fleetune_test_options ${arg_DEPS} fleetune_tests_support GTest::gmock GTest::gtest_main)
  file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}" "${CMAKE_CURRENT_SOURCE_DIR}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 120 PROPERTIES TIMEOUT 600 LABELS "${folder}"
    ENVIRONMENT "${arg_ENVIRONMENT}")
endfunction()

# Without a fuzzer the target replays its corpus; ctest does that. With clang and
# -DFLEETUNE_FUZZER=ON it is a libFuzzer program (the preset fuzz, scripts/fuzz.sh), and all of our code tells it what it ran through.
option(FLEETUNE_FUZZER "Build fuzz targets with libFuzzer (clang)" OFF)
if(FLEETUNE_FUZZER)
  # toml++ 3.3 calls a place unreachable that some letters reach outside of strings; either answer that a compiler gives there is right.
  target_compile_options(fleetune_options INTERFACE
    -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=unreachable -fno-sanitize-recover=all)
  target_link_options(fleetune_options INTERFACE -fsanitize=address,undefined)
endif()
function(fleetune_fuzz_target name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SOURCE;CORPUS" "DEPS")
  if(NOT FLEETUNE_TESTS)
    return()
  endif()
  add_executable(${name} ${arg_SOURCE})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_link_libraries(${name} PRIVATE fleetune_options ${arg_DEPS})
  if(FLEETUNE_FUZZER)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc")
  endif()
  add_test(NAME ${name}.corpus
    COMMAND ${name} -runs=0 "${CMAKE_CURRENT_SOURCE_DIR}/${arg_CORPUS}")
endfunction()
