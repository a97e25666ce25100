package eventqueue

// RegionOf is tested by itself: most of the hosts that it knows are AWS's.
var RegionOf = regionOf

// MaxMessage is the size of the largest message.
const MaxMessage = maxMessage
