// Included inside a namespace that has root of Wide, under a definition of GEOLRM_ARITHMETIC.

// Rotation matrix (row-major) of a quaternion wxyz of any positive length.
template <class Narrow, class Wide>
GEOLRM_ARITHMETIC void rotation_of_quaternion(const Narrow* quat, Wide* r) {
  Wide w = quat[0], x = quat[1], y = quat[2], z = quat[3];
  const Wide inverse = 1.0 / root(w * w + x * x + y * y + z * z);
  w *= inverse;
  x *= inverse;
  y *= inverse;
  z *= inverse;
  r[0] = 1 - 2 * (y * y + z * z);
  r[1] = 2 * (x * y - w * z);
  r[2] = 2 * (x * z + w * y);
  r[3] = 2 * (x * y + w * z);
  r[4] = 1 - 2 * (x * x + z * z);
  r[5] = 2 * (y * z - w * x);
  r[6] = 2 * (x * z - w * y);
  r[7] = 2 * (y * z + w * x);
  r[8] = 1 - 2 * (x * x + y * y);
}
