// The order of the random subset of anchors: engine/anchors.py's voxel_hash, bit for bit.

// A bijection of 32-bit words with good avalanche (multiply and xor-shift, twice).
GEOLRM_ARITHMETIC unsigned mix(unsigned x) {
  x ^= x >> 16;
  x *= 0x7FEB352Du;
  x ^= x >> 15;
  x *= 0x846CA68Bu;
  return x ^ x >> 16;
}
