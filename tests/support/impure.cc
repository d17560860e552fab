// Code for newer CPUs than the library's common code may need: purity.sh must find it.
int Dot(const signed char* a, const signed char* b, int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}
