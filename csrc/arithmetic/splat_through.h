// What one splat lets through at one point of the image, in double.
//
// Included inside a namespace that has root, log and expm1 of double and rotation_of_quaternion,
// under a definition of GEOLRM_ARITHMETIC.

// What of a camera and the numbers of the mathematics it depends on.
struct PassView {
  const double* rotation;  // world to camera, row-major
  const double* translation;
  double focal[2], principal[2];           // pixels
  const double *clip_low, *clip_high;      // limits of x/z, y/z in the Jacobian
  double eps2d, log_alpha_min, alpha_max;  // the logarithm is natural
  bool antialiased;
};

// 1 - alpha at (x, y) in px of the splat with these arrays: 1 where it does not reach.
GEOLRM_ARITHMETIC double splat_pass(const float* mean, const float* scale, const float* quat,
                                    float opacity, const PassView& view, double x, double y) {
  const double* r = view.rotation;
  double axes[9], point[3], plane[2][3];
  rotation_of_quaternion(quat, axes);
  for (int k = 0; k < 9; ++k) axes[k] *= scale[k % 3];
  for (int i = 0; i < 3; ++i) {
    point[i] = view.translation[i];
    for (int k = 0; k < 3; ++k) point[i] += r[3 * i + k] * mean[k];
  }
  const double pixel[2] = {x, y};
  double offset[2];
  for (int i = 0; i < 2; ++i) {
    const double ratio = point[i] / point[2], scale_here = view.focal[i] / point[2];
    const double low = view.clip_low[i], high = view.clip_high[i];
    const double limited = ratio < low ? low : high < ratio ? high : ratio;
    offset[i] = pixel[i] - (view.focal[i] * ratio + view.principal[i]);
    for (int k = 0; k < 3; ++k) {
      plane[i][k] = 0;
      for (int j = 0; j < 3; ++j) {
        plane[i][k] += scale_here * (r[3 * i + j] - limited * r[6 + j]) * axes[3 * j + k];
      }
    }
  }
  double xx = 0, xy = 0, yy = 0, before = 0;
  for (int k = 0; k < 3; ++k) {
    xx += plane[0][k] * plane[0][k];
    xy += plane[0][k] * plane[1][k];
    yy += plane[1][k] * plane[1][k];
    const int next = (k + 1) % 3;
    const double minor = plane[0][k] * plane[1][next] - plane[0][next] * plane[1][k];
    before += minor * minor;
  }
  const double eps = view.eps2d;
  const double after = before + eps * (xx + yy) + eps * eps;
  const double u = offset[0], v = offset[1];
  const double sigma = 0.5 * ((yy + eps) * u * u - 2 * xy * u * v + (xx + eps) * v * v) / after;
  double log_alpha = log(static_cast<double>(opacity)) - sigma;
  if (view.antialiased) log_alpha += 0.5 * log(before / after);
  if (!(log_alpha >= view.log_alpha_min)) return 1;
  const double pass = -expm1(log_alpha), least = 1.0 - view.alpha_max;
  return pass < least ? least : pass;
}
