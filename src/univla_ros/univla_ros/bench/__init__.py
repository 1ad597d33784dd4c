"""`univla bench`: measurements on the live graph."""
