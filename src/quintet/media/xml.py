"""XML, from a typed value and back to builtins of its structure.

The mapping, the same both ways:

- A structure is an element, named by its class in snake_case, or `__xml__ = XML(name=…, ns=…)` on the class. Its
  fields are elements in it, or attributes (`XML(attribute=True)`), or its text (`XML(text=True)`).
- A list field is one element per item: `<tag>a</tag><tag>b</tag>`; none is an empty list. With `XML(wrapped=True)`,
  `XML(item=…)`, or where the list may be None, and for lists inside lists and dicts, it is one element with the items
  in it: `<tags><item>a</item></tags>`. Items that are structures have their class's name for `item`.
- A dict is an element per key; a key that is no name is written `<entry key="…">`.
- A list that is the whole body has the root `items`, a dict `object`, a scalar `value`;
  `Annotated[list[Article], XML(name="articles")]` names it. A declared root name is required when reading.
- None is left out where the field's default is None, and `xsi:nil="true"` elsewhere. Empty text for such a field in
  `text` position is None.
- Dates, UUIDs and decimals are written as in JSON, bytes as base64, booleans `true` and `false`.
- The namespace of a class holds for the elements inside it, down to a class with another. Without a namespace, elements
  of any are read. Attributes are in none unless they declare it.
- In a union, where several structures declare a field of one name, the first declaration counts.
- Characters that XML 1.0 cannot hold (most control characters) are written as U+FFFD.

When reading, an element that is not declared stays under its name, an attribute under `@name`, stray text under
`#text`, so that types that refuse unknown keys refuse it. Comments are skipped. DOCTYPE, entities, processing
instructions and encodings other than UTF-8 are refused; nothing is ever fetched.
"""

from __future__ import annotations

from quintet.media._xml_decode import build_decoder
from quintet.media._xml_encode import build_encoder
from quintet.media._xml_plan import XML

__all__ = ["XML", "build_decoder", "build_encoder"]
