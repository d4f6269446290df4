"""What is kept between requests: the database, the files of tasks, and the fakes in memory for tests."""
