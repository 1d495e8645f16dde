// Elementary functions on vectors. The polynomials are minimax fits made for these intervals (the
// errors beside them are those of the fit). elementwise_test.cc measures the functions; a NaN
// argument gives NaN.

// e^v, relative error below 1.5e-7. Below -87.3 it is 0, above 88.3 infinity.
inline F Exp(F v) {
  // The constants come first: Max and Min give their second operand where one is NaN.
  const F clamped = Min(Set(88.3f), Max(Set(-87.3f), v));
  const F n = Round(clamped * Set(1.44269504f));
  // ln 2 in two parts: the first has so few bits that n times it is exact.
  const F r = Fma(n, Set(2.12194440e-4f), Fma(n, Set(-0.693359375f), clamped));
  // (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2: 3.1e-9
  F p = Set(1.38146151e-3f);
  p = Fma(p, r, Set(8.36871006e-3f));
  p = Fma(p, r, Set(4.1668389e-2f));
  p = Fma(p, r, Set(1.66665211e-1f));
  p = Fma(p, r, Set(4.9999994e-1f));
  const F result = Fma(p, r * r, r + Set(1)) * PowerOfTwo(n);
  const F infinity = Set(std::numeric_limits<float>::infinity());
  return WhereLess(v, Set(-87.3f), Set(0), WhereLess(Set(88.3f), v, infinity, result));
}

// tanh(v), relative error below 2.5e-7.
inline F Tanh(F v) {
  const F size = Max(v, -v);
  // (tanh(v) / v - 1) / v^2 for |v| < 0.625: 4.2e-9
  const F square = v * v;
  F p = Set(-5.7170447e-3f);
  p = Fma(p, square, Set(2.06505861e-2f));
  p = Fma(p, square, Set(-5.37434965e-2f));
  p = Fma(p, square, Set(1.33314908e-1f));
  p = Fma(p, square, Set(-3.33332837e-1f));
  const F near = Fma(p * square, v, v);
  const F far = Set(1) - Set(2) / (Exp(size + size) + Set(1));
  return WhereLess(size, Set(0.625f), near, WhereLess(v, Set(0), -far, far));
}

// z / 2 * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 z^3))), computed as z / (1 + e^(-2 * the argument
// of tanh)). Relative error below 3e-6 down to z = -5 (from the rounding of the exponent), absolute
// error below 1e-9 beyond.
inline F Gelu(F z) {
  const F inner = Fma(z * z * z, Set(0.044715f), z) * Set(-1.59576912f);  // -2 sqrt(2 / pi)
  return z / (Set(1) + Exp(inner));
}

// sin and cos of float32 angles of any size that a position has (|angle| < 2^20), to float32
// precision: the argument is reduced in double. `sine` and `cosine` get `count` values.
inline void SinCos(const float* angles, int64_t count, float* sine, float* cosine) {
  typedef double D __attribute__((vector_size(sizeof(F))));
  constexpr int kDoubles = sizeof(D) / sizeof(double);
  for (int64_t i = 0; i < count; i += kDoubles) {
    const int n = static_cast<int>(std::min<int64_t>(kDoubles, count - i));
    D angle = {};
    for (int j = 0; j < n; ++j) angle[j] = angles[i + j];
    // The nearest multiple of pi / 2, by the rounding of a large sum.
    constexpr double kRounder = 0x1.8p52;
    const D quarter = (angle * 0.63661977236758134 + kRounder) - kRounder;
    const D r = (angle - quarter * 1.5707963267948966) - quarter * 6.123233995736766e-17;
    const D square = r * r;
    // sin(r) / r and cos(r) for |r| <= pi / 4: 3.6e-9
    const D s = r + r * square *
                        ((square * -1.9517266739363268e-4 + 8.3321779154135606e-3) * square -
                         1.6666654940178999e-1);
    const D c = 1.0 - square * 0.5 +
                square * square *
                    ((square * 2.4438415361187884e-5 - 1.3887367211155785e-3) * square +
                     4.1666646860481778e-2);
    for (int j = 0; j < n; ++j) {
      const int64_t turn = static_cast<int64_t>(quarter[j]) & 3;
      const double across = turn & 1 ? c[j] : s[j], along = turn & 1 ? s[j] : c[j];
      sine[i + j] = static_cast<float>(turn & 2 ? -across : across);
      cosine[i + j] = static_cast<float>(turn == 1 || turn == 2 ? -along : along);
    }
  }
}
