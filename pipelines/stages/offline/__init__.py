"""Distilling without a model: sentences worth keeping, with speaker, date and evidence.

``sentences`` cuts a message, ``worth`` drops small talk, ``dates`` resolves "yesterday",
``voice`` turns the first person into a name, ``kinds`` weighs, ``slots`` reads single values,
and ``distill`` puts them together. Rules only: no network, no clock, no state.
"""
