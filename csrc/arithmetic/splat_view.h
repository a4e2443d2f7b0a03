// A camera and the numbers of the mathematics as the GPU's kernels read them: one row of doubles.
//
// Included inside a namespace; no include guard, as the CPU's binding and the GPU have their own.

struct SplatView {
  double rotation[9];  // world to camera, row-major, OpenCV axes
  double translation[3];
  double focal[2], principal[2];     // pixels
  double clip_low[2], clip_high[2];  // limits of x/z, y/z in the Jacobian
  double centre[3];                  // camera position in the world
  double near_plane, eps2d;
  double antialiased;  // 0 or 1
  double alpha_max, log2_inv_alpha_min;
  double transmittance_limit;
  double background[3];
  double alpha_min, transmittance_min;
  double limit_weight;  // T above which a pixel's last splat is decided in double
  double unused;
};
constexpr int kViewNumbers = 36;
static_assert(sizeof(SplatView) == kViewNumbers * sizeof(double), "a row of doubles");
