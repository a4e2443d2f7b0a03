// Gradients through max(0, SH + 0.5): to the coefficients, and to the mean by the direction.
//
// Included after spherical_harmonics.h inside a namespace that has root of double, under a
// definition of GEOLRM_ARITHMETIC.

// A number with its derivatives along three axes: sh_basis then differentiates itself.
template <class Wide>
struct Dual {
  Wide v = 0, d[3] = {0, 0, 0};
  Dual() = default;
  GEOLRM_METHOD explicit Dual(double value) : v(static_cast<Wide>(value)) {}
  GEOLRM_METHOD Dual(double value, int axis) : v(static_cast<Wide>(value)) { d[axis] = 1; }
};
template <class Wide>
GEOLRM_ARITHMETIC Dual<Wide> operator-(const Dual<Wide>& a, const Dual<Wide>& b) {
  Dual<Wide> r;
  r.v = a.v - b.v;
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] - b.d[k];
  return r;
}
template <class Wide>
GEOLRM_ARITHMETIC Dual<Wide> operator*(const Dual<Wide>& a, const Dual<Wide>& b) {
  Dual<Wide> r;
  r.v = a.v * b.v;
  for (int k = 0; k < 3; ++k) r.d[k] = a.d[k] * b.v + a.v * b.d[k];
  return r;
}
template <class Wide>
GEOLRM_ARITHMETIC Dual<Wide> operator*(int a, const Dual<Wide>& b) {
  return Dual<Wide>(a) * b;
}

// mean, centre of the camera, sh [count, 3] and dL/d(color) [3]; adds to `to_mean` and `sh_out`.
template <class Wide>
GEOLRM_ARITHMETIC void add_sh_gradient(const float* mean, const double* centre, const float* sh,
                                       int count, const double* color, double* to_mean,
                                       float* sh_out) {
  double d[3], length = 0;
  for (int k = 0; k < 3; ++k) {
    d[k] = mean[k] - centre[k];
    length += d[k] * d[k];
  }
  length = root(length);
  const double scale = length > 0 ? 1 / length : 0;
  Dual<Wide> basis[16];
  sh_basis<Dual<Wide>>(Dual<Wide>(d[0] * scale, 0), Dual<Wide>(d[1] * scale, 1),
                       Dual<Wide>(d[2] * scale, 2), count, basis);
  Wide to_direction[3] = {0, 0, 0};
#pragma unroll
  for (int j = 0; j < 3; ++j) {
    Wide value = Wide(0.5);
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      if (k < count) value += basis[k].v * sh[3 * k + j];
    }
    if (value <= 0) continue;
#pragma unroll
    for (int k = 0; k < 16; ++k) {
      if (k >= count) continue;
      sh_out[3 * k + j] += static_cast<float>(basis[k].v * Wide(color[j]));
      for (int axis = 0; axis < 3; ++axis) {
        to_direction[axis] += basis[k].d[axis] * sh[3 * k + j] * Wide(color[j]);
      }
    }
  }
  double along = 0;
  for (int k = 0; k < 3; ++k) along += to_direction[k] * d[k] * scale;
  for (int k = 0; k < 3; ++k) to_mean[k] += (to_direction[k] - along * d[k] * scale) * scale;
}
