"""A title that tries to run in a page."""

# Whoever names a file or a title must not be able to run anything in the page.
HOSTILE = """"Löwe" & <b>co</b></script><script>window.hacked = 1</script>{{splats}}<!--"""
