from .encoder import Encoder as Encoder
from .lookup import encoder_named as encoder_named
from .lookup import resolution_notes as resolution_notes
from .runtime import EncoderRuntime as EncoderRuntime
from .runtime import runtime_for as runtime_for
