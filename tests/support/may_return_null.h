// A failed allocation is a result to test, not an error of the test. To be included once in a program.
#pragma once

extern "C" const char* __asan_default_options();
// NOLINTNEXTLINE(misc-definitions-in-headers)
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
