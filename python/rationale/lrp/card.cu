// What a card does to relevance beside Caffe's layers. A block works on one row: one channel of one sample. Sums are
// taken in double precision and always in the same order, so that the same bits come out each time.
//
// Plain CUDA without any header: NVRTC compiles it when a card first wants it, and tests/lrp compiles it for the
// processor, where blocks come one after the other.

const int THREADS = 256;  // at most so many in a block, a power of two

// The sum of what each thread of the block gives.
__device__ double block_sum(double mine, double* partial)
{
  __syncthreads();
  partial[threadIdx.x] = mine;
  __syncthreads();
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
    __syncthreads();
  }
  return partial[0];
}

// out = share * R / (z + e * sign(z)), and of each row the sums of out and of what the stabiliser took (without one, of
// what was lost to 0/0). z has as many rows as R, or those of one sample; e is epsilon times a number for each sample.
// sign is 1 or -1 where all of z has that sign, 0 where signs differ.
extern "C" __global__ void divide(const float* relevance, const float* denominator, float* out, double* sums,
    double* taken, const double* scale, long long size, long long channels, long long denominator_rows, int sign,
    float epsilon, float share)
{
  __shared__ double partial[THREADS];
  const long long row = blockIdx.x;
  const float* above = relevance + row * size;
  const float* below = denominator + (row % denominator_rows) * size;
  float* quotients = out + row * size;
  const float stabiliser = scale ? (float)(epsilon * scale[row / channels]) : epsilon;
  double sum = 0, rest = 0;
  for (long long i = threadIdx.x; i < size; i += blockDim.x) {
    const float given = above[i], z = below[i];
    float quotient = 0;
    if (epsilon == 0) {
      if (z != 0) quotient = given / z * share;
      else rest += (double)share * given;
    } else {
      const float shift = sign ? sign * stabiliser : copysignf(stabiliser, z);
      quotient = given / (z + shift) * share;
      rest += (double)quotient * shift;
    }
    quotients[i] = quotient;
    sum += quotient;
  }
  sum = block_sum(sum, partial);
  rest = block_sum(rest, partial);
  if (threadIdx.x == 0) {
    sums[row] = sum;
    taken[row] = rest;
  }
}

// The root mean square of z where R is not zero, of each sample (a row); 1 where R is zero everywhere. z has `period`
// numbers, those of all samples or of one.
extern "C" __global__ void root_mean_square(const float* relevance, const float* denominator, double* out,
    long long size, long long period)
{
  __shared__ double partial[THREADS];
  double squares = 0, count = 0;
  for (long long i = threadIdx.x; i < size; i += blockDim.x) {
    const long long place = blockIdx.x * size + i;
    if (relevance[place] == 0) continue;
    const double z = denominator[place % period];
    squares += z * z;
    count += 1;
  }
  squares = block_sum(squares, partial);
  count = block_sum(count, partial);
  if (threadIdx.x == 0) out[blockIdx.x] = count > 0 ? sqrt(squares / count) : 1.0;
}

// values *= sign * factor, and the sum of each row. The factor has rows for all samples or one, or one row for all
// channels, and in a row as many numbers as the values, or one.
extern "C" __global__ void multiply(float* values, const float* factor, double* sums, long long size,
    long long factor_rows, long long factor_size, int sign)
{
  __shared__ double partial[THREADS];
  float* own = values + blockIdx.x * size;
  const float* other = factor + (blockIdx.x % factor_rows) * factor_size;
  double sum = 0;
  for (long long i = threadIdx.x; i < size; i += blockDim.x) {
    const float product = own[i] * other[factor_size == 1 ? 0 : i];
    own[i] = sign < 0 ? -product : product;
    sum += own[i];
  }
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The sum of each row.
extern "C" __global__ void total(const float* values, double* sums, long long size)
{
  __shared__ double partial[THREADS];
  double sum = 0;
  for (long long i = threadIdx.x; i < size; i += blockDim.x) sum += values[blockIdx.x * size + i];
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The sum of sums times weights, of each sample (a row).
extern "C" __global__ void weigh(const double* sums, const float* weights, double* out, long long channels)
{
  __shared__ double partial[THREADS];
  double sum = 0;
  for (long long i = threadIdx.x; i < channels; i += blockDim.x) sum += sums[blockIdx.x * channels + i] * weights[i];
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// The sums of many rows of different lengths, each given by where it lies.
extern "C" __global__ void gather(const double* const* rows, const long long* lengths, double* out)
{
  __shared__ double partial[THREADS];
  const double* row = rows[blockIdx.x];
  double sum = 0;
  for (long long i = threadIdx.x; i < lengths[blockIdx.x]; i += blockDim.x) sum += row[i];
  sum = block_sum(sum, partial);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// R where the sign of z is the one asked for, 0 elsewhere.
extern "C" __global__ void choose(const float* relevance, const float* plain, float* out, long long size, int positive)
{
  for (long long i = threadIdx.x; i < size; i += blockDim.x) {
    const long long place = blockIdx.x * size + i;
    out[place] = (plain[place] >= 0) == (positive != 0) ? relevance[place] : 0;
  }
}

// A number that changes when the words of an array do, or their order: of many arrays, `parts` blocks for each. Whole
// numbers add up to the same in any order.
extern "C" __global__ void fingerprint(const unsigned* const* arrays, const long long* lengths, unsigned long long* out,
    long long parts)
{
  const long long array = blockIdx.x / parts, part = blockIdx.x % parts;
  unsigned long long sum = 0;
  for (long long i = part * blockDim.x + threadIdx.x; i < lengths[array]; i += parts * blockDim.x) {
    unsigned long long word = ((unsigned long long)i << 32 | arrays[array][i]) * 0x9E3779B97F4A7C15ull;
    word = (word ^ word >> 29) * 0xBF58476D1CE4E5B9ull;
    sum += word ^ word >> 32;
  }
  atomicAdd(out + array, sum);
}

// 1 where any of two lists of numbers differ, else 0.
extern "C" __global__ void differ(const unsigned long long* now, const unsigned long long* known, double* out,
    long long count)
{
  __shared__ double partial[THREADS];
  double found = 0;
  for (long long i = threadIdx.x; i < count; i += blockDim.x) found += now[i] != known[i];
  found = block_sum(found, partial);
  if (threadIdx.x == 0) *out = found;
}
