"""The recipe of the embedded model: data, tokenizer, target, judge."""
