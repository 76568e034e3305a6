"""All characters that a text may hold, for hypothesis."""

from hypothesis import strategies as st

# All but halves of characters. So are those of st.text() itself, which tries for seconds which of them UTF-8 encodes.
CHARACTERS = st.characters(exclude_categories=["Cs"])
