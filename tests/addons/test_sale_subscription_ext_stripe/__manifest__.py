{
    'name': "Subscriptions: tests with Stripe",
    'version': '19.0.1.0.0',
    'category': 'Hidden/Tests',
    'summary': "Sends the requests for Stripe to the fake server of the tests",
    'author': "Sale Subscription Ext contributors",
    'license': 'LGPL-3',
    'depends': ['sale_subscription_ext', 'payment_stripe'],
}
