"""What is kept between requests; memory today."""
