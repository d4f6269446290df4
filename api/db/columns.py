"""Column types that all tables share."""

from sqlalchemy import JSON, BigInteger, Integer, MetaData

metadata = MetaData()

#: A JSON column in which None is SQL NULL, not the JSON text "null".
Document = JSON(none_as_null=True)

#: An automatic number; SQLite numbers rows only in a column of the type INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")
