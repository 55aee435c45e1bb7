"""Pictures of predictions beside the truth.

``paper`` lays pictures and words out, ``panels`` draws one image by the kind of its target, and
``gallery`` reads the saved predictions of a split. None of them imports torch by itself.
"""
