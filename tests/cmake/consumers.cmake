# consumer: other people's projects, built with this build's compiler and flags, but unoptimized to save time. (Debug
# information would take most of it.)
set(consumer_options
  -DCMAKE_BUILD_TYPE=None
  -DCMAKE_C_COMPILER=${CMAKE_C_COMPILER}
  -DCMAKE_CXX_COMPILER=${CMAKE_CXX_COMPILER}
  -DCMAKE_CXX_FLAGS=${CMAKE_CXX_FLAGS}
  -DCMAKE_DISABLE_FIND_PACKAGE_hwy=${CMAKE_DISABLE_FIND_PACKAGE_hwy}
  -DCMAKE_TOOLCHAIN_FILE=${CMAKE_TOOLCHAIN_FILE}
  -DLUTRA_DEPS_DIR=${LUTRA_DEPS_DIR}
  -Dhwy_DIR=${hwy_DIR})

# lutra_consumer(name [OF folder] OPTION...): builds and runs the project in a folder, that of its name by default.
function(lutra_consumer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" OF "")
  if(NOT arg_OF)
    set(arg_OF ${name})
  endif()
  add_test(NAME consumer_${name} COMMAND ${CMAKE_CTEST_COMMAND}
    --build-and-test ${CMAKE_CURRENT_SOURCE_DIR}/consumer/${arg_OF} ${CMAKE_CURRENT_BINARY_DIR}/consumer/${name}
    --build-generator ${CMAKE_GENERATOR}
    --build-noclean
    --build-options ${consumer_options} ${arg_UNPARSED_ARGUMENTS}
    --test-command ${CMAKE_CROSSCOMPILING_EMULATOR} ./consumer)
  set_tests_properties(consumer_${name} PROPERTIES LABELS consumer COST 100)  # builds take long: they begin first
endfunction()
set(few_targets -DLUTRA_PRECOMPILE=ON "-DLUTRA_DISABLED_TARGETS=HWY_AVX3_SPR|HWY_AVX3_ZEN4|HWY_AVX3_DL|HWY_AVX3" -DLUTRA_PORTABLE_OPTIONS=-O0)
# This one also shows what a shared library exports, which does not depend on its targets.
lutra_consumer(add_subdirectory -DBUILD_SHARED_LIBS=ON ${few_targets})
set_tests_properties(consumer_add_subdirectory PROPERTIES FIXTURES_SETUP shared)
set(shared ${CMAKE_CURRENT_BINARY_DIR}/consumer/add_subdirectory/lutra/liblutra.so)
file(GLOB c_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/lutra/lutra_c*.h)
add_test(NAME exports COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/support/exports.sh ${shared} ${c_headers})
set_tests_properties(exports PROPERTIES LABELS consumer FIXTURES_REQUIRED shared)

# Python, over the shared library: examples/python, in a Python that has NumPy (cmake/setup.sh).
function(lutra_has_numpy result python)
  execute_process(COMMAND ${python} -c "import numpy" RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  if(failed)
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()
find_program(LUTRA_PYTHON_WITH_NUMPY python3 HINTS /usr/bin VALIDATOR lutra_has_numpy)
if(LUTRA_PYTHON_WITH_NUMPY AND LUTRA_BUILD_EXAMPLES AND NOT CMAKE_CROSSCOMPILING)
  set(python ${PROJECT_SOURCE_DIR}/examples/python)
  add_test(NAME python_usage COMMAND ${LUTRA_PYTHON_WITH_NUMPY} ${python}/usage.py)
  add_test(NAME python_module
    COMMAND ${LUTRA_PYTHON_WITH_NUMPY} ${CMAKE_CURRENT_SOURCE_DIR}/python/lutra_test.py ${model})
  set_tests_properties(python_usage PROPERTIES PASS_REGULAR_EXPRESSION "with exact sums: [0-9.]+e-0")
  set_tests_properties(python_usage python_module PROPERTIES LABELS consumer FIXTURES_REQUIRED "shared;model"
    ENVIRONMENT "LUTRA_LIBRARY=${shared};PYTHONPATH=${python};PYTHONDONTWRITEBYTECODE=1")
else()
  message(STATUS "No tests of examples/python: they need NumPy, and to run here")
endif()

# Optimized, as only then flags change results; the portable kernels, which get the same flags as AVX2, are not.
lutra_consumer(parent_flags ${few_targets})

# Flags that change results, and that reach the kernel templates, do not compile.
foreach(flag IN ITEMS -ffast-math -Ofast -ffinite-math-only)
  add_test(NAME kernels_refuse${flag} COMMAND ${CMAKE_CXX_COMPILER} ${flag} -std=c++17 -fsyntax-only
    -x c++ ${PROJECT_SOURCE_DIR}/include/lutra/kernels/float_flags.h)
  set_tests_properties(kernels_refuse${flag} PROPERTIES
    LABELS consumer PASS_REGULAR_EXPRESSION "arithmetic needs -fno-fast-math")
endforeach()

# Other ways to compile the library: link-time optimization, and a later compiler (cmake/setup.sh compilers).
lutra_consumer(lto OF add_subdirectory -DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON ${few_targets})
find_program(LUTRA_CLANG_19 clang++-19)
if(LUTRA_CLANG_19 AND NOT CMAKE_CROSSCOMPILING)
  lutra_consumer(clang_19 OF add_subdirectory -DCMAKE_CXX_COMPILER=${LUTRA_CLANG_19} ${few_targets})
else()
  message(STATUS "No tests of clang 19, which is not here: cmake/setup.sh compilers")
endif()

if(LUTRA_INSTALL)
  set(highway ${LUTRA_DEPS_DIR}/highway-${lutra_highway_version})
  set(prefix ${CMAKE_CURRENT_BINARY_DIR}/prefix)
  add_test(NAME install COMMAND ${CMAKE_COMMAND} --install ${PROJECT_BINARY_DIR} --prefix ${prefix})
  set_tests_properties(install PROPERTIES LABELS consumer FIXTURES_SETUP installed)
  lutra_consumer(find_package -Dlutra_ROOT=${prefix})
  lutra_consumer(find_package_c -Dlutra_ROOT=${prefix})
  set_tests_properties(consumer_find_package consumer_find_package_c PROPERTIES FIXTURES_REQUIRED installed)
  lutra_consumer(standards -Dlutra_ROOT=${prefix})
  set_tests_properties(consumer_standards PROPERTIES FIXTURES_REQUIRED installed)
  if(TEST consumer_clang_19)
    lutra_consumer(clang_19_standards OF standards -Dlutra_ROOT=${prefix} -DCMAKE_CXX_COMPILER=${LUTRA_CLANG_19})
    set_tests_properties(consumer_clang_19_standards PROPERTIES FIXTURES_REQUIRED installed)
  endif()
  # A Highway that is not installed was fetched: a shared library hides its functions.
  if(hwy_FOUND OR NOT BUILD_SHARED_LIBS)
    lutra_consumer(own_kernels -Dlutra_ROOT=${prefix} -DHIGHWAY_INCLUDE_DIR=${highway})
    set_tests_properties(consumer_own_kernels PROPERTIES FIXTURES_REQUIRED installed)
  endif()

  if(NOT hwy_FOUND AND NOT BUILD_SHARED_LIBS)
    lutra_consumer(beside_highway -Dlutra_ROOT=${prefix} -DHIGHWAY_DIR=${highway})
    set_tests_properties(consumer_beside_highway PROPERTIES FIXTURES_REQUIRED installed)
  endif()

  find_program(LUTRA_PKG_CONFIG pkg-config REQUIRED)
  string(CONFIGURE [[
    export PKG_CONFIG_PATH="@prefix@/@CMAKE_INSTALL_LIBDIR@/pkgconfig" LD_LIBRARY_PATH="@prefix@/@CMAKE_INSTALL_LIBDIR@"
    "@LUTRA_PKG_CONFIG@" --exact-version=@PROJECT_VERSION@ lutra
    "@CMAKE_CXX_COMPILER@" -std=c++17 @CMAKE_CXX_FLAGS@ "-DINCLUDE_PATH=\"\"" "@CMAKE_CURRENT_SOURCE_DIR@/consumer/main.cc" \
      $("@LUTRA_PKG_CONFIG@" --static --cflags --libs lutra) -o consumer_pkg_config
    @CMAKE_CROSSCOMPILING_EMULATOR@ ./consumer_pkg_config
    "@CMAKE_C_COMPILER@" -std=c11 "@PROJECT_SOURCE_DIR@/examples/c_matmul.c" \
      $("@LUTRA_PKG_CONFIG@" --static --cflags --libs lutra) -o consumer_pkg_config_c
    @CMAKE_CROSSCOMPILING_EMULATOR@ ./consumer_pkg_config_c pkg_config_c.lutra]] script @ONLY)
  add_test(NAME consumer_pkg_config COMMAND sh -euxc "${script}")
  set_tests_properties(consumer_pkg_config PROPERTIES LABELS consumer FIXTURES_REQUIRED installed)
endif()

# An older Highway is refused, with advice: one that is installed (where a newer one is, that one is taken) ...
set(old ${CMAKE_CURRENT_BINARY_DIR}/old_highway)
if(NOT hwy_FOUND AND NOT CMAKE_CROSSCOMPILING)
  include(CMakePackageConfigHelpers)
  write_basic_package_version_file(${old}/hwy-config-version.cmake VERSION 1.0.3 COMPATIBILITY SameMajorVersion)
  file(TOUCH ${old}/hwy-config.cmake)
  add_test(NAME old_highway_is_refused
    COMMAND ${CMAKE_COMMAND} -S ${PROJECT_SOURCE_DIR} -B ${old}/build -G ${CMAKE_GENERATOR} -Dhwy_ROOT=${old})
  set_tests_properties(old_highway_is_refused PROPERTIES
    LABELS consumer
    PASS_REGULAR_EXPRESSION "Highway 1\\.0\\.3 is installed.*apt-get[ \n]+remove[ \n]+libhwy-dev")
endif()
# ... and one that the parent project builds.
file(WRITE ${old}/hwy/base.h "#define HWY_MAJOR 1\n#define HWY_MINOR 1\n#define HWY_PATCH 0\n")
file(TOUCH ${old}/hwy/targets.cc)
add_test(NAME parents_old_highway_is_refused
  COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_SOURCE_DIR}/consumer/parents_highway -B ${old}/parents_build
    -G ${CMAKE_GENERATOR} ${consumer_options} -DHIGHWAY_DIR=${old})
set_tests_properties(parents_old_highway_is_refused PROPERTIES
  LABELS consumer
  PASS_REGULAR_EXPRESSION "target hwy is Highway 1\\.1\\.0,[ \n]+but[ \n]+Lutra[ \n]+needs[ \n]+1\\.2\\.0")
