"""The file formats that hold named arrays, one a file."""
