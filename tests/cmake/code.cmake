# code: the hot loops as clang compiles them, where the instructions of a target stand, and the names of symbols.
find_program(LUTRA_OBJDUMP NAMES ${CMAKE_LIBRARY_ARCHITECTURE}-objdump objdump)
if(LUTRA_OBJDUMP AND CMAKE_CXX_COMPILER_ID STREQUAL Clang AND CMAKE_BUILD_TYPE STREQUAL Release AND
   CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64 AND NOT BUILD_SHARED_LIBS)
  add_test(NAME hot_loops COMMAND ${PROJECT_SOURCE_DIR}/bench/hot_loops.sh $<TARGET_FILE:lutra>)
  set_tests_properties(hot_loops PROPERTIES LABELS code)
endif()

# Instructions of a target stand in its functions alone; and the test for that fails where they do not.
if(LUTRA_OBJDUMP AND CMAKE_BUILD_TYPE STREQUAL Release AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$" AND
   NOT BUILD_SHARED_LIBS)
  add_test(NAME purity
    COMMAND ${CMAKE_COMMAND} -E env OBJDUMP=${LUTRA_OBJDUMP} ${CMAKE_CURRENT_SOURCE_DIR}/support/purity.sh $<TARGET_FILE:lutra>)
  set_tests_properties(purity PROPERTIES LABELS code)
  add_library(impure OBJECT support/impure.cc)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
    target_compile_options(impure PRIVATE -O3 -march=haswell)
  else()
    target_compile_options(impure PRIVATE -O3 -march=armv8.2-a+dotprod)
  endif()
  add_test(NAME purity_fails COMMAND ${CMAKE_COMMAND} -E env OBJDUMP=${LUTRA_OBJDUMP}
    sh -c "\"$@\"; test $? -eq 1" sh ${CMAKE_CURRENT_SOURCE_DIR}/support/purity.sh $<TARGET_OBJECTS:impure>)
  set_tests_properties(purity_fails PROPERTIES LABELS code)
endif()

# A program can link two versions, and another Highway.
if(NOT BUILD_SHARED_LIBS)
  set(version v${PROJECT_VERSION_MAJOR}_${PROJECT_VERSION_MINOR})
  add_test(NAME symbols COMMAND ${CMAKE_COMMAND} -E env NM=${CMAKE_NM}
    ${CMAKE_CURRENT_SOURCE_DIR}/support/symbols.sh $<TARGET_FILE:lutra> ${version} $<$<BOOL:${lutra_highway_inside}>:hwy>)
  set_tests_properties(symbols PROPERTIES LABELS code)
endif()
