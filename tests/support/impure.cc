// Compiled for newer CPUs than the library's own code may be: what purity.sh must find.
int Dot(const signed char* a, const signed char* b, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}
