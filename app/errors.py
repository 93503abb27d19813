"""Everything that the service itself refuses or fails at, as one tree.

AppError
├── InvalidSetting              the environment; stops the start
├── RequestError                the caller's request
│   ├── InvalidParameter        a query parameter or protocol field that is not understood
│   ├── CompressedUpload        a Content-Encoding
│   ├── MalformedUpload         neither an image as the body nor the multipart form we ask for
│   ├── EmptyUpload             no bytes, or no images
│   ├── NothingToSee            a picture without ink, for a model of ink
│   ├── TooManyImages           more than HALFTONE_MAX_IMAGES in one request
│   ├── UploadTooLarge          more than HALFTONE_MAX_UPLOAD_BYTES
│   ├── UploadTooSlow           not complete within HALFTONE_UPLOAD_SECONDS
│   ├── Unauthorized            no valid API key, where keys are configured
│   ├── NotInBundle             a report or an example that the model was published without
│   ├── FeedbackOff             HALFTONE_FEEDBACK is unset
│   ├── FeedbackFull            HALFTONE_FEEDBACK_BYTES are kept already
│   ├── ForeignOrigin           another site's page wants something written
│   └── ClientGone              the connection closed; there is nobody to answer
├── Unavailable                 try again later; nothing was computed
│   ├── Overloaded              the queue would take longer than the deadline
│   ├── UploadsFull             HALFTONE_MAX_BYTES_IN_FLIGHT are being received or worked on
│   ├── NotReady                no model is loaded
│   └── QueueClosed             the model was retired between look-up and queueing
├── DeadlineExpired             the deadline passed while the image waited
└── ComputeError                our fault
    ├── InferenceFailed         the engine raised
    └── NonFiniteOutput         the engine answered with NaN or infinity
"""


class AppError(Exception):
    """Base of every error that app raises on purpose."""


class InvalidSetting(AppError):
    """A HALFTONE_* variable that is not understood."""


class RequestError(AppError):
    """The request cannot be answered as it is; repeating it changes nothing."""


class InvalidParameter(RequestError):
    """A query parameter or protocol field has a value that is not understood."""


class MalformedUpload(RequestError):
    """The body is neither an image nor the multipart form that was asked for."""


class CompressedUpload(RequestError):
    """The body has a Content-Encoding."""


class EmptyUpload(RequestError):
    """The body holds no bytes, or the form no images."""


class NothingToSee(RequestError):
    """The model knows characters of ink, and the picture shows none."""


class TooManyImages(RequestError):
    """One request holds more images than HALFTONE_MAX_IMAGES."""


class UploadTooLarge(RequestError):
    """The body is longer than HALFTONE_MAX_UPLOAD_BYTES."""


class UploadTooSlow(RequestError):
    """The body was not complete within HALFTONE_UPLOAD_SECONDS."""


class Unauthorized(RequestError):
    """API keys are configured, and the request carries none of them."""


class NotInBundle(RequestError):
    """The model was published without this file."""


class FeedbackOff(RequestError):
    """The service keeps no feedback."""


class FeedbackFull(RequestError):
    """HALFTONE_FEEDBACK_BYTES of feedback are kept already."""


class ForeignOrigin(RequestError):
    """A page of another site asks for something to be written."""


class ClientGone(RequestError):
    """The client closed its connection before the answer."""


class Unavailable(AppError):
    """The service cannot take this request now; nothing was computed.

    Attributes:
        retry_after_s: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """What is queued already would take longer than the deadline allows."""


class UploadsFull(Unavailable):
    """HALFTONE_MAX_BYTES_IN_FLIGHT bytes are being received or worked on."""


class NotReady(Unavailable):
    """No model is loaded."""


class QueueClosed(Unavailable):
    """The model was retired between look-up and queueing."""


class DeadlineExpired(AppError):
    """The deadline passed while the image waited; it was not computed."""


class ComputeError(AppError):
    """The service failed at something that it had accepted."""


class InferenceFailed(ComputeError):
    """The engine raised; the cause is in the log, not in the answer."""


class NonFiniteOutput(ComputeError):
    """The engine answered with NaN or infinity."""
