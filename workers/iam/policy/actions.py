"""The actions that policies can name, and on what kind of resource each acts.

Source: "Actions, resources, and condition keys" of Amazon S3, IAM and STS in the service authorization reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from workers.iam.policy.wildcards import compile_wildcards

BUCKET: Final = "bucket"
OBJECT: Final = "object"
OTHER: Final = "other"
"""An account, an IAM identity, or a resource that this gateway has none of."""

_S3_BUCKET: Final = """
    CreateBucket CreateBucketMetadataTableConfiguration DeleteBucket DeleteBucketMetadataTableConfiguration
    DeleteBucketPolicy DeleteBucketWebsite GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAbac
    GetBucketAcl GetBucketCORS GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration
    GetBucketNotification GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy
    GetBucketPolicyStatus GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning
    GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration
    GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket
    ListBucketMultipartUploads ListBucketVersions ListTagsForResource PutAccelerateConfiguration
    PutAnalyticsConfiguration PutBucketAbac PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification
    PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy PutBucketPublicAccessBlock
    PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration
    PutIntelligentTieringConfiguration PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration
    PutReplicationConfiguration TagResource UntagResource UpdateBucketMetadataInventoryTableConfiguration
    UpdateBucketMetadataJournalTableConfiguration"""

_S3_OBJECT: Final = """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectTagging DeleteObjectVersion
    DeleteObjectVersionTagging GetObject GetObjectAcl GetObjectAttributes GetObjectLegalHold GetObjectRetention
    GetObjectTagging GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes
    GetObjectVersionForReplication GetObjectVersionTagging GetObjectVersionTorrent InitiateReplication
    ListMultipartUploadParts ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl PutObjectLegalHold
    PutObjectRetention PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete ReplicateObject
    ReplicateTags RestoreObject UpdateObjectEncryption"""

_S3_OTHER: Final = """
    AssociateAccessGrantsIdentityCenter CreateAccessGrant CreateAccessGrantsInstance CreateAccessGrantsLocation
    CreateAccessPoint CreateAccessPointForObjectLambda CreateJob CreateMultiRegionAccessPoint CreateStorageLensGroup
    DeleteAccessGrant DeleteAccessGrantsInstance DeleteAccessGrantsInstanceResourcePolicy DeleteAccessGrantsLocation
    DeleteAccessPoint DeleteAccessPointForObjectLambda DeleteAccessPointPolicy
    DeleteAccessPointPolicyForObjectLambda DeleteJobTagging DeleteMultiRegionAccessPoint
    DeleteStorageLensConfiguration DeleteStorageLensConfigurationTagging DeleteStorageLensGroup DescribeJob
    DescribeMultiRegionAccessPointOperation DissociateAccessGrantsIdentityCenter GetAccessGrant
    GetAccessGrantsInstance GetAccessGrantsInstanceForPrefix GetAccessGrantsInstanceResourcePolicy
    GetAccessGrantsLocation GetAccessPoint GetAccessPointConfigurationForObjectLambda
    GetAccessPointForObjectLambda GetAccessPointPolicy GetAccessPointPolicyForObjectLambda
    GetAccessPointPolicyStatus GetAccessPointPolicyStatusForObjectLambda GetAccountPublicAccessBlock GetDataAccess
    GetJobTagging GetMultiRegionAccessPoint GetMultiRegionAccessPointPolicy GetMultiRegionAccessPointPolicyStatus
    GetMultiRegionAccessPointRoutes GetStorageLensConfiguration GetStorageLensConfigurationTagging
    GetStorageLensDashboard GetStorageLensGroup ListAccessGrants ListAccessGrantsInstances ListAccessGrantsLocations
    ListAccessPoints ListAccessPointsForObjectLambda ListAllMyBuckets ListCallerAccessGrants ListJobs
    ListMultiRegionAccessPoints ListStorageLensConfigurations ListStorageLensGroups PauseReplication
    PutAccessGrantsInstanceResourcePolicy PutAccessPointConfigurationForObjectLambda PutAccessPointPolicy
    PutAccessPointPolicyForObjectLambda PutAccessPointPublicAccessBlock PutAccountPublicAccessBlock PutJobTagging
    PutMultiRegionAccessPointPolicy PutStorageLensConfiguration PutStorageLensConfigurationTagging
    SubmitMultiRegionAccessPointRoutes UpdateAccessGrantsLocation UpdateJobPriority UpdateJobStatus
    UpdateStorageLensGroup"""

_IAM: Final = """
    AddClientIDToOpenIDConnectProvider AddRoleToInstanceProfile AddUserToGroup AttachGroupPolicy AttachRolePolicy
    AttachUserPolicy ChangePassword CreateAccessKey CreateAccountAlias CreateGroup CreateInstanceProfile
    CreateLoginProfile CreateOpenIDConnectProvider CreatePolicy CreatePolicyVersion CreateRole CreateSAMLProvider
    CreateServiceLinkedRole CreateUser CreateVirtualMFADevice DeactivateMFADevice DeleteAccessKey DeleteAccountAlias
    DeleteAccountPasswordPolicy DeleteGroup DeleteGroupPolicy DeleteInstanceProfile DeleteLoginProfile
    DeleteOpenIDConnectProvider DeletePolicy DeletePolicyVersion DeleteRole DeleteRolePermissionsBoundary
    DeleteRolePolicy DeleteSAMLProvider DeleteUser DeleteUserPermissionsBoundary DeleteUserPolicy
    DeleteVirtualMFADevice DetachGroupPolicy DetachRolePolicy DetachUserPolicy EnableMFADevice
    GenerateCredentialReport GetAccessKeyLastUsed GetAccountAuthorizationDetails GetAccountPasswordPolicy
    GetAccountSummary GetContextKeysForCustomPolicy GetContextKeysForPrincipalPolicy GetCredentialReport GetGroup
    GetGroupPolicy GetInstanceProfile GetLoginProfile GetOpenIDConnectProvider GetPolicy GetPolicyVersion GetRole
    GetRolePolicy GetSAMLProvider GetUser GetUserPolicy ListAccessKeys ListAccountAliases ListAttachedGroupPolicies
    ListAttachedRolePolicies ListAttachedUserPolicies ListEntitiesForPolicy ListGroupPolicies ListGroups
    ListGroupsForUser ListInstanceProfiles ListInstanceProfilesForRole ListMFADevices ListOpenIDConnectProviderTags
    ListOpenIDConnectProviders ListPolicies ListPolicyTags ListPolicyVersions ListRolePolicies ListRoleTags ListRoles
    ListSAMLProviders ListUserPolicies ListUserTags ListUsers ListVirtualMFADevices PassRole PutGroupPolicy
    PutRolePermissionsBoundary PutRolePolicy PutUserPermissionsBoundary PutUserPolicy
    RemoveClientIDFromOpenIDConnectProvider RemoveRoleFromInstanceProfile RemoveUserFromGroup ResyncMFADevice
    SetDefaultPolicyVersion SimulateCustomPolicy SimulatePrincipalPolicy TagOpenIDConnectProvider TagPolicy TagRole
    TagUser UntagOpenIDConnectProvider UntagPolicy UntagRole UntagUser UpdateAccessKey UpdateAccountPasswordPolicy
    UpdateAssumeRolePolicy UpdateGroup UpdateLoginProfile UpdateOpenIDConnectProviderThumbprint UpdateRole
    UpdateRoleDescription UpdateSAMLProvider UpdateUser"""

_STS: Final = """
    AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity DecodeAuthorizationMessage GetAccessKeyInfo
    GetCallerIdentity GetFederationToken GetServiceBearerToken GetSessionToken SetSourceIdentity TagSession"""


def _catalogue() -> dict[str, str]:
    kinds = (("s3", _S3_BUCKET, BUCKET), ("s3", _S3_OBJECT, OBJECT), ("s3", _S3_OTHER, OTHER))
    rows = (*kinds, ("iam", _IAM, OTHER), ("sts", _STS, OTHER))
    return {f"{service}:{name}": level for service, names, level in rows for name in names.split()}


ACTIONS: Final[Mapping[str, str]] = MappingProxyType(_catalogue())
"""Action -> what it acts on: BUCKET, OBJECT or OTHER."""

SERVICES: Final = frozenset(action.partition(":")[0] for action in ACTIONS)

_LOWER: Final = {action.lower(): action for action in ACTIONS}
_BY_SERVICE: Final = {
    service: [(lower.partition(":")[2], action) for lower, action in _LOWER.items() if lower.startswith(f"{service}:")]
    for service in SERVICES
}


@lru_cache(maxsize=4096)
def expand(pattern: str) -> frozenset[str]:
    """The known actions that a lower-case pattern of a policy names."""
    if "*" not in pattern and "?" not in pattern:
        found = _LOWER.get(pattern)
        return frozenset() if found is None else frozenset((found,))
    if pattern == "*":
        return frozenset(ACTIONS)
    service, _, name = pattern.partition(":")
    in_service, in_name = compile_wildcards(service), compile_wildcards(name)
    return frozenset(
        action for known, rows in _BY_SERVICE.items() if in_service(known) for lower, action in rows if in_name(lower)
    )


VERSION_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "s3:DeleteObject": "s3:DeleteObjectVersion",
        "s3:DeleteObjectTagging": "s3:DeleteObjectVersionTagging",
        "s3:GetObject": "s3:GetObjectVersion",
        "s3:GetObjectAcl": "s3:GetObjectVersionAcl",
        "s3:GetObjectAttributes": "s3:GetObjectVersionAttributes",
        "s3:GetObjectTagging": "s3:GetObjectVersionTagging",
        "s3:PutObjectAcl": "s3:PutObjectVersionAcl",
        "s3:PutObjectTagging": "s3:PutObjectVersionTagging",
    }
)
"""The action of an operation -> the one that it needs when the request names a version."""
