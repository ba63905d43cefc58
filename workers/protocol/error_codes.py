"""The error codes of S3: status and message of each, as clients see them.

Codes and statuses follow the "Error responses" page of the Amazon S3 API reference and the service model that the
AWS SDKs ship; messages are those that the service sends. `InsufficientStorage` is the one code of our own: AWS never
runs out of space, a storage system does (RFC 4918 section 11.5 for the status).
"""

from typing import Final

ERROR_CODES: Final[dict[str, tuple[int, str]]] = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
    "AccessDenied": (403, "Access Denied"),
    "AccessForbidden": (403, "Access Forbidden"),
    "AccessPointAlreadyOwnedByYou": (409, "An access point with an identical name already exists in your account."),
    "AccountProblem": (403, "There is a problem with your account that prevents the operation from completing."),
    "AllAccessDisabled": (403, "All access to this object has been disabled"),
    "AmbiguousGrantByEmailAddress": (
        400,
        "The e-mail address you provided is associated with more than one account.",
    ),
    "AnnotationLimitExceeded": (400, "The object already has the maximum number of annotations."),
    "AnnotationNameTooLong": (400, "The annotation name is too long."),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters that you provided are not valid."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BadRequest": (400, "Bad Request"),
    "BucketAlreadyExists": (
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketHasAccessPointsAttached": (400, "The bucket you tried to delete has access points attached."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty"),
    "ClientTokenConflict": (409, "Your idempotency token was already used for a different request."),
    "ConditionalRequestConflict": (
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "ConnectionClosedByRequester": (400, "The connection was closed by the requester while the body was read."),
    "CredentialsNotSupported": (400, "This request does not support credentials."),
    "CrossLocationLoggingProhibited": (403, "Cross location logging not allowed."),
    "DeviceNotActiveError": (400, "The device is not currently active."),
    "EncryptionTypeMismatch": (400, "The existing object was created with a different encryption type."),
    "EndpointNotFound": (400, "Direct requests to the correct endpoint."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size"),
    "ExpiredToken": (400, "The provided token has expired."),
    "IdempotencyParameterMismatch": (
        400,
        "The idempotency token was used with parameters that differ from those of the first request.",
    ),
    "IllegalLocationConstraintException": (
        400,
        "The unspecified location constraint is incompatible for the region specific endpoint this request was "
        "sent to.",
    ),
    "IllegalVersionIdException": (400, "Invalid version id specified"),
    "IllegalVersioningConfigurationException": (
        400,
        "The versioning configuration specified in the request is invalid.",
    ),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    "IncorrectEndpoint": (
        400,
        "The specified bucket exists in another Region. Direct requests to the correct endpoint.",
    ),
    "IncorrectNumberOfFilesInPostRequest": (400, "POST requires exactly one file upload per request."),
    "InlineDataTooLarge": (400, "Inline data exceeds the maximum allowed size"),
    "InsufficientStorage": (507, "There is not enough space in the storage system to complete the request."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidAccessPoint": (400, "The specified access point name or account is not valid."),
    "InvalidAccessPointAliasError": (400, "The specified access point alias name is not valid."),
    "InvalidAddressingHeader": (400, "You must specify the Anonymous role."),
    "InvalidAnnotationName": (400, "The annotation name is not valid."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidAttributeName": (400, "Invalid attribute name specified."),
    "InvalidBucketAclWithBlockPublicAccessError": (
        400,
        "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
    ),
    "InvalidBucketAclWithObjectOwnership": (
        400,
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
    ),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketOwnerAWSAccountID": (
        400,
        "The value of the expected bucket owner parameter must be an AWS Account ID",
    ),
    "InvalidBucketState": (409, "The request is not valid with the current state of the bucket."),
    "InvalidChunkSizeError": (403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": (
        400,
        "The Encryption request you specified is not valid. Supported value: AES256.",
    ),
    "InvalidHostHeader": (400, "The host headers provided in the request used the incorrect style addressing."),
    "InvalidHttpMethod": (400, "The request is made using an unexpected HTTP method."),
    "InvalidLocationConstraint": (400, "The specified location-constraint is not valid"),
    "InvalidObjectState": (403, "The operation is not valid for the object's storage class"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidPayer": (403, "All access to this object has been disabled."),
    "InvalidPolicyDocument": (
        400,
        "The content of the form does not meet the conditions specified in the policy document.",
    ),
    "InvalidPrefix": (400, "The prefix you specified is not valid."),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRedirectLocation": (
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    "InvalidRegion": (403, "The specified region is not valid."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidRetentionPeriod": (400, "The retention period you specified is not valid."),
    "InvalidSOAPRequest": (400, "The SOAP request body is invalid."),
    "InvalidSecurity": (403, "The provided security credentials are not valid."),
    "InvalidSessionException": (400, "The session does not exist any more."),
    "InvalidSignature": (400, "The request signature is not valid."),
    "InvalidStorageClass": (400, "The storage class you specified is not valid"),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidTargetBucketForLogging": (
        400,
        "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants "
        "for the log-delivery group.",
    ),
    "InvalidToken": (400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "InvalidVersionForOperation": (400, "The version of the object is not valid for this operation."),
    "InvalidWriteOffset": (400, "The write offset value that you specified does not match the current object size."),
    "KMS.DisabledException": (400, "The specified KMS key is not enabled."),
    "KMS.InvalidKeyUsageException": (400, "The usage of the specified KMS key does not allow this operation."),
    "KMS.KMSInvalidStateException": (400, "The state of the specified KMS key does not allow this operation."),
    "KMS.NotFoundException": (400, "The specified KMS key does not exist."),
    "KeyTooLongError": (400, "Your key is too long"),
    "LambdaPermissionError": (400, "The caller is not authorized to invoke the function."),
    "MalformedACLError": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": (400, "This policy contains invalid Json"),
    "MalformedTrailerError": (
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    ),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MaxMessageLengthExceeded": (400, "Your request was too big."),
    "MaxPostPreDataLengthExceededError": (
        400,
        "Your POST request fields preceding the upload file were too large.",
    ),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingAttachment": (400, "A SOAP attachment was expected, but none were found."),
    "MissingAuthenticationToken": (403, "The request was not signed."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": (400, "Request Body is empty"),
    "MissingSecurityElement": (400, "The SOAP 1.1 request is missing a security element."),
    "MissingSecurityHeader": (400, "Your request was missing a required header"),
    "NoLoggingStatusForKey": (400, "There is no such thing as a logging status sub-resource for a key."),
    "NoSuchAccessPoint": (404, "The specified accesspoint does not exist"),
    "NoSuchAccessPointPolicy": (404, "The specified accesspoint policy does not exist"),
    "NoSuchAnnotation": (404, "The specified annotation does not exist."),
    "NoSuchAsyncRequest": (404, "The specified request was not found."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchConfiguration": (404, "The specified configuration does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "NoSuchMultiRegionAccessPoint": (404, "The specified Multi-Region Access Point does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found"),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchTagSetError": (404, "There is no tag set associated with the bucket."),
    "NoSuchUpload": (
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted "
        "or completed.",
    ),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration"),
    "NoTransformationDefined": (404, "No transformation found for this access point."),
    "NotDeviceOwnerError": (400, "The device that generated the token is not owned by the authenticated user."),
    "NotImplemented": (501, "A header you provided implies functionality that is not implemented"),
    "NotModified": (304, "Not Modified"),
    "NotSignedUp": (403, "Your account is not signed up for the S3 service."),
    "ObjectAlreadyInActiveTierError": (403, "This object is already in the active tier."),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "ObjectNotInActiveTierError": (403, "The source object of the COPY action is not in the active tier."),
    "OperationAborted": (
        409,
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PermanentRedirect": (
        301,
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint.",
    ),
    "PermanentRedirectControlError": (
        301,
        "The API operation you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint.",
    ),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold"),
    "Redirect": (307, "Temporary redirect."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found"),
    "RequestHeaderSectionTooLarge": (
        400,
        "Your request header section exceeds the maximum allowed request header section size",
    ),
    "RequestIsNotMultiPartContent": (400, "Bucket POST must be of the enclosure-type multipart/form-data."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed.",
    ),
    "RequestTorrentOfBucketError": (400, "Requesting the torrent file of a bucket is not permitted."),
    "ResponseInterrupted": (400, "The response was interrupted while its body was read."),
    "RestoreAlreadyInProgress": (409, "Object restore is already in progress"),
    "ServerSideEncryptionConfigurationNotFoundError": (
        404,
        "The server side encryption configuration was not found",
    ),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "TagPolicyException": (400, "The tag policy does not allow the specified value for the tag key."),
    "TemporaryRedirect": (
        307,
        "Please re-send this request to the specified temporary endpoint. "
        "Continue to use the original request endpoint for future requests.",
    ),
    "TokenCodeInvalidError": (400, "The serial number and/or token code you provided is not valid."),
    "TokenRefreshRequired": (400, "The provided token must be refreshed."),
    "TooManyAccessPoints": (400, "You have attempted to create more access points than allowed"),
    "TooManyBuckets": (400, "You have attempted to create more buckets than allowed"),
    "TooManyMultiRegionAccessPointregionsError": (
        400,
        "You have attempted to create a Multi-Region Access Point with more Regions than allowed",
    ),
    "TooManyMultiRegionAccessPoints": (
        400,
        "You have attempted to create more Multi-Region Access Points than allowed",
    ),
    "TooManyParts": (400, "You have attempted to add more parts than the maximum of 10000 that are allowed."),
    "UnauthorizedAccess": (403, "You are not authorized to access this bucket."),
    "UnauthorizedAccessError": (403, "You are not authorized to access this bucket."),
    "UnexpectedContent": (400, "This request does not support content."),
    "UnexpectedIPError": (403, "This request was rejected because the IP was unexpected."),
    "UnresolvableGrantByEmailAddress": (
        400,
        "The e-mail address you provided does not match any account on record.",
    ),
    "UnsupportedArgument": (400, "The request contained an unsupported argument."),
    "UnsupportedMediaType": (415, "The media type of the request is not supported."),
    "UnsupportedSignature": (
        400,
        "The provided request is signed with an unsupported STS Token version or the signature version is "
        "not supported.",
    ),
    "UserKeyMustBeSpecified": (
        400,
        "The bucket POST must contain the specified field name. If it is specified, please check the order of "
        "the fields.",
    ),
    "XAmzContentChecksumMismatch": (
        400,
        "The provided 'x-amz-checksum' header does not match what was computed.",
    ),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
    # Those of the Versity S3 Gateway's administration calls, which sites' scripts look for.
    "XAdminAccessDenied": (403, "Only admin users have access to this resource."),
    "XAdminInvalidArgument": (400, "An argument of the administration call is not valid."),
    "XAdminInvalidRequest": (400, "A header of the administration call is missing."),
    "XAdminUserExists": (409, "A user with the provided access key ID already exists."),
    "XAdminUserNotFound": (404, "No user exists with the provided access key ID."),
}
"""Code -> (HTTP status, default message)."""
