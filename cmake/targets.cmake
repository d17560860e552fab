# How Lutra's own code is compiled: the library, its tests, benchmarks and examples.
set(CMAKE_CXX_EXTENSIONS OFF)

function(lutra_compile_options target)
  target_compile_options(${target} PRIVATE
    # Results must not depend on whether a compiler fuses a * b + c.
    -ffp-contract=off
    -Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor
    # Vectors are passed between functions of one target only.
    -Wno-psabi)
endfunction()
