// Z-order: the bits of three coordinates in turn, so that neighbours in space get close numbers.

// Eight bits to every third bit.
GEOLRM_ARITHMETIC unsigned spread_bits(unsigned x) {
  x = (x | x << 8) & 0x00F00Fu;
  x = (x | x << 4) & 0x0C30C3u;
  return (x | x << 2) & 0x249249u;
}
