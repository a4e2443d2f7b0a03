// A splat's ellipse in the image, steps 1 to 3 of the splatting mathematics.
//
// Included inside a namespace that has root (a square root) of Wide, under a definition of
// GEOLRM_ARITHMETIC. Wide is double where a needle must keep its width to the last bit, float where
// a bound will do, or where double is slow.

// Covariance in square pixels before eps2d is added, and its determinant.
template <class Wide>
struct Spread {
  Wide xx, xy, yy, determinant;
};

// (tx, ty) are x/z and y/z within their limits, (gx, gy) = (fx, fy) / z, r the rotation to the
// camera and s = R S the splat's axes, both row-major.
template <class Wide>
GEOLRM_ARITHMETIC Spread<Wide> spread_in_image(Wide tx, Wide ty, Wide gx, Wide gy, Wide r0, Wide r1,
                                               Wide r2, Wide r3, Wide r4, Wide r5, Wide r6, Wide r7,
                                               Wide r8, Wide s0, Wide s1, Wide s2, Wide s3, Wide s4,
                                               Wide s5, Wide s6, Wide s7, Wide s8) {
  // Rows of J W: the image plane's axes in the world.
  const Wide jx0 = gx * (r0 - tx * r6), jx1 = gx * (r1 - tx * r7), jx2 = gx * (r2 - tx * r8);
  const Wide jy0 = gy * (r3 - ty * r6), jy1 = gy * (r4 - ty * r7), jy2 = gy * (r5 - ty * r8);
  const Wide p0 = jx0 * s0 + jx1 * s3 + jx2 * s6;
  const Wide p1 = jx0 * s1 + jx1 * s4 + jx2 * s7;
  const Wide p2 = jx0 * s2 + jx1 * s5 + jx2 * s8;
  const Wide q0 = jy0 * s0 + jy1 * s3 + jy2 * s6;
  const Wide q1 = jy0 * s1 + jy1 * s4 + jy2 * s7;
  const Wide q2 = jy0 * s2 + jy1 * s5 + jy2 * s8;
  Spread<Wide> out;
  out.xx = p0 * p0 + p1 * p1 + p2 * p2;
  out.xy = p0 * q0 + p1 * q1 + p2 * q2;
  out.yy = q0 * q0 + q1 * q1 + q2 * q2;
  // Cauchy-Binet: the determinant as a sum of squares, which cannot cancel.
  const Wide m0 = p1 * q2 - p2 * q1, m1 = p2 * q0 - p0 * q2, m2 = p0 * q1 - p1 * q0;
  out.determinant = m0 * m0 + m1 * m1 + m2 * m2;
  return out;
}

// sigma / ln 2 = (a dx + b dy)^2 + (c dy)^2: the Cholesky factor (a, b; 0, c) of the conic, whose
// rounding error grows with a needle's aspect ratio, not with the square of it.
template <class Wide>
struct ConicFactor {
  Wide a, b, c;
  Wide after;  // the determinant with eps2d
};

template <class Wide>
GEOLRM_ARITHMETIC ConicFactor<Wide> conic_factor(const Spread<Wide>& s, Wide eps) {
  constexpr Wide kRoot = Wide(0.84932180028801904);  // sqrt(1 / (2 ln 2)): sigma to powers of two
  ConicFactor<Wide> out;
  out.after = s.determinant + eps * (s.xx + s.yy) + eps * eps;
  const Wide var_y = s.yy + eps;
  out.a = kRoot * root(var_y / out.after);
  out.b = -out.a * s.xy / var_y;
  out.c = kRoot / root(var_y);
  return out;
}
