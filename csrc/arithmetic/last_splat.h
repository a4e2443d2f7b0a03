// Where float cannot tell which splat ends a pixel, and double decides.
//
// Included inside a namespace.

constexpr float kLimitBand = 2e-3f;    // of the limit, on either side
constexpr float kLimitWeight = 4e-3f;  // what a pixel may be off by without double
// Float T in front of the last splat is trusted to this share: beyond it, what double finds of the
// last splat alone decides.
constexpr double kTrusted = 1e-4;
