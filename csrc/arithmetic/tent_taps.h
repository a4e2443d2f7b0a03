// Where a bilinear sample falls: the upper left of its 2x2 taps, and the taps' tent weights.
//
// Included inside a namespace that has Real (a float or a vector of them), Truth (a comparison's
// result), the operators of Real, `&` of Truth, and less, select, min, max, floor and abs. No
// include guard: every instruction set and the GPU compile it for themselves.

// A pair of taps over an edge is moved inside; the tents then give the outer tap's weight to none.
struct TentTaps {
  Truth inside;                    // false for NaN and infinity
  Real column, row;                // of the upper left tap
  Real left, right, upper, lower;  // weights along x and y
};

// The sample lies (x, y) pixels from (u, v), of which [0, 1] is inside an image of width x height.
// last_x and last_y are the largest left column and upper row, max(side - 2, 0); has_x and has_y
// are 1 where a side is longer than one pixel, else 0.
GEOLRM_ARITHMETIC TentTaps place_taps(Real u, Real v, Real x, Real y, Real width, Real height,
                                      Real last_x, Real last_y, Real has_x, Real has_y, Real zero,
                                      Real half, Real one) {
  const Real minus_one = zero - one;
  TentTaps r;
  x = (u * width - half) + x;
  y = (v * height - half) + y;
  r.inside = less(minus_one, x) & less(x, width) & less(minus_one, y) & less(y, height);
  x = select(r.inside, x, zero);
  y = select(r.inside, y, zero);
  r.column = min(last_x, max(zero, floor(x)));
  r.row = min(last_y, max(zero, floor(y)));
  x = x - r.column;
  y = y - r.row;
  r.left = max(zero, one - abs(x));
  r.upper = max(zero, one - abs(y));
  r.right = max(zero, has_x - abs(x - one));
  r.lower = max(zero, has_y - abs(y - one));
  return r;
}
