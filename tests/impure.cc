// Compiled for newer CPUs than the library's own code may be: what purity.sh must find.
float Sum(const float* values, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i] * values[i];
  return sum;
}
