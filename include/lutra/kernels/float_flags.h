// Refuses compiler flags that change results. CMake undoes them for Lutra's own sources and for lutra::kernels.
#pragma once

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error "Lutra's arithmetic needs -fno-fast-math: with -ffast-math or parts of it, results would have other bits."
#endif
