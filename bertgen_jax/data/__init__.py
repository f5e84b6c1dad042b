"""Reads texts and their references, and makes batches of token ids.

To read how a batch is made, follow these modules:

    locations    the name of a data set -> its files
    formats/     a file -> rows of named columns, one format in each module
    columns      a row -> Example(id, source, references)
    examples     all of these, with random access; record_index notes where rows are
    tokenizing   a range of examples, tokenizer -> token ids, cut to length
    encoding     a corpus, tokenizer -> token ids in the cache; tokenizing_workers are
                 the processes that make them
    batching     lengths -> the buckets and the examples of batch n; ids -> arrays
    loading      batches, made in threads -> the devices

`texts` reads the inputs of `bertgen generate` and the files of `bertgen score`; `demo`
has small embedded corpora.
"""
