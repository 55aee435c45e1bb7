"""Image classifiers of transformers as candidates, named ``hf:microsoft/resnet-50``.

``names`` and ``known`` say which there are and need no torch; ``network`` builds one; ``files``
finds and fetches weights. Nothing is downloaded but by ``files.fetch_hub``.
"""
