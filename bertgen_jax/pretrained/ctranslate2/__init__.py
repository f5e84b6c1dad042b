"""Export of models to CTranslate2."""
