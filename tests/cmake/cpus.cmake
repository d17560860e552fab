# cpu, valgrind: CPUs that lack instructions that this one has. qemu runs the kernels of the best target that such a CPU
# has. valgrind, which knows AVX2 and hides later instruction sets, reports memory that they read before it is written.
if(CMAKE_BUILD_TYPE STREQUAL Release AND CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64 AND NOT CMAKE_CROSSCOMPILING)
  find_program(LUTRA_QEMU_X86 NAMES qemu-x86_64-static qemu-x86_64)
  find_program(LUTRA_VALGRIND valgrind)
  # lutra_run_on(label cpu absent test filter COMMAND...): the command runs the program with a filter that must match some
  # case. No case may be for a target whose name begins with `absent`.
  function(lutra_run_on label cpu absent test filter)
    add_test(NAME ${cpu}_${test} COMMAND ${ARGN} $<TARGET_FILE:${test}> "--gtest_filter=${filter}")
    set_tests_properties(${cpu}_${test} PROPERTIES
      LABELS ${label} COST 50 FAIL_REGULAR_EXPRESSION "Running 0 tests|_${absent}" TIMEOUT 600)
  endfunction()
  if(LUTRA_QEMU_X86)
    set(nehalem ${LUTRA_QEMU_X86} -cpu Nehalem)
    set(haswell ${LUTRA_QEMU_X86} -cpu Haswell)
    lutra_run_on(cpu Nehalem AVX plan_test Sweep/PlanTable.FastestPrepares* ${nehalem})  # portable kernels are slow
    lutra_run_on(cpu Haswell AVX3 plan_test Sweep/PlanTable.AnyRow*:-*_EMU128 ${haswell})
    # "Program filter".
    set(runs "prepare_test Sweep/PreparingRmsNorm.*" "hadamard_test *"
      "simd_test *" "c_api_matmul_test *"
      "c_api_weights_test *" "c_api_handles_test *" "c_api_status_test *" "c_api_threads_test *")
    foreach(run IN LISTS runs)
      separate_arguments(run)
      list(POP_FRONT run test filter)
      lutra_run_on(cpu Nehalem AVX ${test} "${filter}" ${nehalem})
      lutra_run_on(cpu Haswell AVX3 ${test} "${filter}:-*_EMU128" ${haswell})
    endforeach()
  endif()
  if(LUTRA_VALGRIND)
    set(memcheck ${LUTRA_VALGRIND} --quiet --error-exitcode=1 --leak-check=full)
    lutra_run_on(valgrind valgrind AVX3 plan_test Sweep/PlanTable.AnyRow*_AVX2 ${memcheck})
    lutra_run_on(valgrind valgrind AVX3 prepare_test *_AVX2:-*NotFinite* ${memcheck})
    lutra_run_on(valgrind valgrind AVX3 hadamard_test *_AVX2 ${memcheck})
  endif()
endif()
