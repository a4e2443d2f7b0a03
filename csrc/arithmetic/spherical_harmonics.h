// Real spherical harmonics up to degree 3, in the order and signs of 3DGS.
//
// Included inside a namespace, under a definition of GEOLRM_ARITHMETIC; scalars alone.

// The first `count` (1, 4, 9 or 16) values at the unit direction (x, y, z).
template <class Real>
GEOLRM_ARITHMETIC void sh_basis(Real x, Real y, Real z, int count, Real* basis) {
  basis[0] = Real(0.28209479177387814);
  if (count < 4) return;
  basis[1] = Real(-0.4886025119029199) * y;
  basis[2] = Real(0.4886025119029199) * z;
  basis[3] = Real(-0.4886025119029199) * x;
  if (count < 9) return;
  const Real xx = x * x, yy = y * y, zz = z * z;
  basis[4] = Real(1.0925484305920792) * x * y;
  basis[5] = Real(-1.0925484305920792) * y * z;
  basis[6] = Real(0.31539156525252005) * (2 * zz - xx - yy);
  basis[7] = Real(-1.0925484305920792) * x * z;
  basis[8] = Real(0.5462742152960396) * (xx - yy);
  if (count < 16) return;
  basis[9] = Real(-0.5900435899266435) * y * (3 * xx - yy);
  basis[10] = Real(2.890611442640554) * x * y * z;
  basis[11] = Real(-0.4570457994644658) * y * (4 * zz - xx - yy);
  basis[12] = Real(0.3731763325901154) * z * (2 * zz - 3 * xx - 3 * yy);
  basis[13] = Real(-0.4570457994644658) * x * (4 * zz - xx - yy);
  basis[14] = Real(1.445305721320277) * z * (xx - yy);
  basis[15] = Real(-0.5900435899266435) * x * (xx - 3 * yy);
}
